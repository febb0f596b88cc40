"""Threads of PyTorch: every process that computes has as many as it may use, and they sleep while they wait."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.quick import slow_but
from trainer.threads import processors, quotas

MAINS = ["trainer.__main__", "trainer.engine.process", "trainer.conversion.__main__"]


@pytest.mark.parametrize("module", slow_but(MAINS, "trainer.engine.process"))
def test_every_process_that_computes_sleeps_at_barriers(module: str) -> None:
    # with this argument each of them ends soon: with its help, or an error
    told = shown(f"""
import contextlib, sys
from {module} import main
sys.argv = ["it", "--help"]
for name in ("accelerate", "diffusers", "peft", "transformers"):
    sys.modules[name] = None  # what is imported after PyTorch takes long, and has no threads of its own
with contextlib.suppress(BaseException):
    main()
import torch
""")
    assert told["OMP_WAIT_POLICY"] == "PASSIVE"
    assert told.get("GOMP_SPINCOUNT", "0") == "0"
    assert told["OMP_NUM_THREADS"] == str(processors())


@pytest.mark.slow
def test_what_the_operator_sets_stays() -> None:
    code = "from trainer import threads; threads.set_up(); import torch"
    told = shown(code, OMP_WAIT_POLICY="ACTIVE", OMP_NUM_THREADS="3")
    assert told["OMP_WAIT_POLICY"] == "ACTIVE"
    assert told["OMP_NUM_THREADS"] == "3"


def test_affinity_counts() -> None:
    if not hasattr(os, "sched_setaffinity"):
        pytest.skip("this system has no affinity")
    one = min(os.sched_getaffinity(0))
    code = f"import os; os.sched_setaffinity(0, {{{one}}}); from trainer.threads import processors; print(processors())"
    assert run(code).stdout.strip() == "1"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"cpu.max": "max 100000\n"}, []),
        ({"cpu.max": "150000 100000\n"}, [1.5]),
        ({"pod/box/cpu.max": "50000 100000\n", "pod/cpu.max": "200000 100000\n"}, [0.5, 2.0]),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, []),
        ({"cpu/cpu.cfs_quota_us": "300000\n", "cpu/cpu.cfs_period_us": "100000\n"}, [3.0]),
        ({"cpu.max": "nonsense"}, []),
    ],
)
def test_quotas_of_control_groups(tmp_path: Path, files: dict[str, str], expected: list[float]) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    own = tmp_path / "own"
    own.write_text("1:name=systemd:/\n0::/pod/box\n")
    assert quotas(tmp_path, own) == expected


def run(code: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_"))}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=True, env=inherited | environment)


def shown(code: str, **environment: str) -> dict[str, str]:
    """OpenMP's settings as its library itself shows them when PyTorch loads it."""
    said = run(code, **environment, OMP_DISPLAY_ENV="VERBOSE").stderr
    if not (told := dict(re.findall(r"(\w+) ?= ?'(.*)'", said))):
        pytest.skip("this build of PyTorch has another OpenMP")
    return told

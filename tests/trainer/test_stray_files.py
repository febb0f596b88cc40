"""The trainer is started in whatever folder somebody is in, with whatever files are there."""

import subprocess
import sys
from pathlib import Path

import pytest

NAMES = ("queue", "random", "secrets", "json", "redis", "torch")  # of modules that the trainer needs


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (("trainer", "--help"), "usage: python -m trainer"),
        pytest.param(("trainer.engine.process", "nowhere"), "nowhere", marks=pytest.mark.slow),  # imports PyTorch
    ],
    ids=["worker", "engine"],
)
def test_files_in_the_current_folder_are_not_imported(command: tuple[str, ...], says: str, tmp_path: Path) -> None:
    for name in NAMES:
        (tmp_path / f"{name}.py").write_text("raise SystemExit('a stray file was imported')")
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=110
    )
    assert "stray" not in done.stdout + done.stderr
    assert says in done.stdout

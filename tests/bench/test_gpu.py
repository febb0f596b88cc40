"""The GPU bench, rehearsed with small shapes on the CPU: every stage runs, and results are kept as they come."""

import json
from pathlib import Path

import pytest
from click.testing import Result
from typer import Typer
from typer.testing import CliRunner

from tests.bench.gpu import SUBJECTS, Plan, Stage, agreement, main, run, timings


def bench(folder: Path, **more: object) -> Result:
    """Run it with the smallest model, and keep everything in `folder`."""
    options = {"out": folder / "gpu.jsonl", "folder": folder, "size": "tiny", "steps": 6, "rounds": 1, **more}
    command = Typer()
    command.command()(main)
    return CliRunner().invoke(command, [f"--{name}={value}" for name, value in options.items()])


@pytest.mark.exhaustive
@pytest.mark.timeout(900)
def test_every_stage_runs_and_is_not_run_again(tmp_path: Path) -> None:
    plan = Plan(tmp_path, tmp_path / "photos", "tiny", 6, 1)
    names = [stage.name for stage in (*agreement(plan), *timings(plan))]
    slow = [name for name in names if "blocks" in name or "graphs" in name]  # to compile has tests of its own
    (tmp_path / "gpu.jsonl").write_text("".join(json.dumps({"stage": name, "ok": True}) + "\n" for name in slow))
    done = bench(tmp_path, minutes=14)
    results = [json.loads(line) for line in (tmp_path / "gpu.jsonl").read_text().splitlines()]
    assert done.exit_code == 0, results
    assert [each["stage"] for each in results] == slow + [name for name in names if name not in slow]
    by_stage = {each["stage"]: each for each in results}
    assert by_stage["agrees: train, off"]["loss_difference"] == {"lora": 0, "full": 0}, "a CPU agrees with itself"
    assert by_stage["train, lora, off"]["step_s"] > 0
    assert by_stage["draw beside diffusers' pipeline"]["8 at once"]["peer ÷ ours"] > 0
    assert by_stage["eight LoRA trainings in one step"]["difference"] == 0 and SUBJECTS == 8
    assert by_stage["serving, S3"]["S3 8 LoRA subjects, one picture each"]["times"] > 0
    assert json.loads(done.stdout.splitlines()[-1]) == {"done": len(names), "of": len(names), "failed or missing": []}


@pytest.mark.slow
def test_a_stage_that_fails_or_hangs_is_told_and_costs_itself_alone() -> None:
    failed = run(Stage("fails", "tests.bench.gpu_drawing", ("there is no such model", 1, 1), 60), 60)
    assert not failed["ok"] and "there is no such model" in failed["why"]
    hung = run(Stage("hangs", "http.server", (0, "--bind", "127.0.0.1"), 1), 60)
    assert hung == {"stage": "hangs", "took_s": pytest.approx(1, abs=30), "ok": False, "why": "not done within 1 s"}


@pytest.mark.slow
def test_nothing_is_begun_when_time_is_up(tmp_path: Path) -> None:
    done = bench(tmp_path, minutes=0)
    assert done.exit_code == 1
    assert json.loads(done.stdout.splitlines()[-1])["done"] == 0
    assert not (tmp_path / "gpu.jsonl").exists()

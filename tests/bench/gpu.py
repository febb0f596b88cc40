"""The GPU bench as one command, for a machine that is lent for minutes: `make gpu WHEELS=DIR`.

First whether training (full and LoRA; eager, compiled blocks, CUDA graphs) and drawing run on this device and agree
with the CPU; then how quick they are, what is worth most first. Each stage is a process of its own: one that fails,
hangs or crashes the driver costs itself alone. Every result is appended to a file as it comes, and stages whose result
is there already are not run again, so the command can be given once more to go on.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Annotated, Any

import typer

from tests.bench.gpu_agreement import METHODS
from tests.bench.peer_models import SIZES, write_model

CLASS_IMAGES, SUBJECTS = 8, 8
Result = dict[str, Any]


@dataclass(frozen=True)
class Stage:
    """A process that prints one JSON object last, and the time that it may take at most."""

    name: str
    module: str
    arguments: tuple[Any, ...]
    limit_s: float
    on_cpu: bool = False


@dataclass(frozen=True)
class Plan:
    """Where things are, and how large the runs are."""

    folder: Path
    photos: Path
    size: str
    steps: int
    rounds: int

    @property
    def model(self) -> Path:
        """The model that is timed."""
        return self.folder / "models" / self.size


def agreement(plan: Plan) -> Iterator[Stage]:
    """Whether it runs at all, and rightly."""
    module, places = "tests.bench.gpu_agreement", (plan.folder, plan.photos)
    yield Stage("reference", module, ("reference", *places), 120, on_cpu=True)
    yield Stage("agrees: draw", module, ("draw", *places), 60)
    for way in ("off", "graphs", "blocks"):
        yield Stage(f"agrees: train, {way}", module, ("train", *places, way), 120)


def timings(plan: Plan) -> Iterator[Stage]:
    """How quick it is; what is quickest before what is plain."""
    drawing = (plan.model, plan.steps, plan.rounds)
    for way in ("graphs", "off", "blocks"):
        for method in METHODS:
            work, changes = plan.folder / f"weights-{method}-{way}", json.dumps({"compiled": way})
            given = (plan.model, plan.photos, method, plan.steps, CLASS_IMAGES, work, changes)
            yield Stage(f"train, {method}, {way}", "tests.bench.our_script", given, 150)
        if way == "graphs":
            yield Stage("draw beside diffusers' pipeline", "tests.bench.gpu_drawing", drawing, 150)
            yield from serving(plan)


def serving(plan: Plan) -> Iterator[Stage]:
    """Several subjects: trained in one step, and served beside diffusers' pipeline."""
    given = ("measure", plan.model, plan.photos, plan.steps, SUBJECTS)
    yield Stage("eight LoRA trainings in one step", "tests.bench.multi_lora", given, 120)
    for only in ("S3", "S5", "S1", "S2", "one picture"):
        arguments = ("--model", plan.model, "--rounds", plan.rounds, "--only", only)
        yield Stage(f"serving, {only}", "tests.bench.serving", arguments, 90)


def run(stage: Stage, left_s: float) -> Result:
    """Run one stage; what it measured, or why there is nothing."""
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONWARNINGS": "ignore"}
    environment |= {"CUDA_VISIBLE_DEVICES": ""} if stage.on_cpu else {}
    command = [sys.executable, "-m", stage.module, *map(str, stage.arguments)]
    began_s = time.monotonic()
    try:
        done = subprocess.run(
            command,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=min(stage.limit_s, max(left_s, 1)),
        )
        found: Result = json.loads(done.stdout.splitlines()[-1]) if not done.returncode else {"ok": False}
        if done.returncode:
            found["why"] = done.stderr.strip()[-1500:]
    except subprocess.TimeoutExpired as error:
        found = {"ok": False, "why": f"not done within {error.timeout:.0f} s"}
    except (ValueError, IndexError):
        found = {"ok": False, "why": "it printed no JSON object"}
    steps_s = found.pop("steps_s", None)
    if steps_s:
        found |= {"ok": True, "step_s": sorted(steps_s)[len(steps_s) // 2]}
    return {"stage": stage.name, "took_s": round(time.monotonic() - began_s, 1), **found}


def draw_photos(folder: Path) -> None:
    """Four photos of a drawn character, so that no photos need be carried."""
    from research.toyworld.scenes import character
    from trainer.toyworld.words import PLACES

    folder.mkdir(parents=True, exist_ok=True)
    for k in range(4):
        character(3, "dog").photo(Random(k), PLACES[k], size_px=512).save(folder / f"{k}.png")


def main(
    out: Annotated[Path, typer.Option(help="file that results are appended to")] = Path("gpu.jsonl"),
    size: Annotated[str, typer.Option(help=", ".join(SIZES))] = "sd15",
    minutes: Annotated[float, typer.Option(help="after which no stage is begun or goes on")] = 8,
    steps: Annotated[int, typer.Option(help="of each training and picture")] = 30,
    rounds: Annotated[int, typer.Option(help="of pictures, in turns with the peer")] = 5,
    folder: Annotated[Path | None, typer.Option(help="for models and weights; else gone at the end")] = None,
) -> None:
    """Run what has no result yet, until time is up; exit 1 if anything failed or is missing."""
    ends_s = time.monotonic() + 60 * minutes
    with tempfile.TemporaryDirectory() as scratch:
        plan = Plan(folder or Path(scratch), (folder or Path(scratch)) / "photos", size, steps, rounds)
        draw_photos(plan.photos)
        results = (
            {each["stage"]: each for each in map(json.loads, out.read_text().splitlines())} if out.exists() else {}
        )
        stages = [*agreement(plan), *timings(plan)]
        for stage in stages:
            known = stage.name in results and results[stage.name]["ok"]
            if (known and stage.name != "reference") or time.monotonic() > ends_s:
                continue
            if stage.module != "tests.bench.gpu_agreement" and not plan.model.exists():
                write_model(SIZES[size], plan.model)
            results[stage.name] = run(stage, ends_s - time.monotonic())
            with out.open("a") as lines:
                lines.write(json.dumps(results[stage.name]) + "\n")
            print(json.dumps(results[stage.name]), flush=True)  # noqa: T201
    failed = [stage.name for stage in stages if not results.get(stage.name, {"ok": False})["ok"]]
    print(json.dumps({"done": len(stages) - len(failed), "of": len(stages), "failed or missing": failed}))  # noqa: T201
    sys.exit(bool(failed))


if __name__ == "__main__":
    typer.run(main)

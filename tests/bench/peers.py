"""Darkroom beside diffusers' DreamBooth scripts, in turns: `make bench SCRIPTS=DIR PHOTOS=DIR`.

The scripts are `train_dreambooth.py` and `train_dreambooth_lora.py` of a copy of diffusers, and for the sizes `klein`
and `z_image` those for these families, by LoRA alone; they get class images that are there, so only steps are compared.
Each training runs in a process of its own with one thread. What a run has measured is said when it ends, and appended
to a file if one is named; a run that fails is reported, and the others go on. The last lines are a table for each size
and one JSON object, of medians of all runs, those that the file had before among them.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import typer
from PIL import Image
from rich.console import Console
from rich.table import Table

from bot.arguments.recipe_options import checked, parsed
from storage.contract.recipe import Changes
from tests.bench import peer_transformers
from tests.bench.peer_models import SIZES, write_model
from tests.bench.peer_transformers import WRITERS
from trainer.worker.engine_handle import KEEP_MEMORY

SCRIPTS = {"full": "train_dreambooth.py", "lora": "train_dreambooth_lora.py"}
RATES = {"full": "2e-6", "lora": "1e-4"}
FIGURES = ("step_s", "step_cpu_s", "cold_s", "warm_s", "peak_bytes", "kept_bytes")
RATES_OF_OURS = ("step_flops", "matmul_flops_s")
WHO = ("peer", "ours")
Run = dict[str, Any]  # what was run, and its figures
Figures = dict[str, dict[str, dict[str, float]]]  # by method, and who; whoever has finished no run is left out


@dataclass(frozen=True)
class Plan:
    """What every run is given, and until when runs may begin."""

    scripts: Path
    photos: Path
    steps: int
    class_images: int
    changes: Changes
    ends_s: float  # by time.monotonic
    shrink: bool = False  # photos to the side of the model's pictures, as a trainer would prepare them

    @property
    def key(self) -> dict[str, Any]:
        """What runs must have in common to be compared."""
        known = {"steps": self.steps, "class_images": self.class_images, "set": dict(self.changes)}
        return known | {"shrink": True} if self.shrink else known


@dataclass
class Runs:
    """The runs that have ended well, in memory and in a file of a line of JSON each, if there is one."""

    file: Path | None
    all: list[Run] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.file and self.file.exists():
            self.all = [json.loads(line) for line in self.file.read_text().splitlines()]

    def add(self, run: Run) -> None:
        """Keep one, at once."""
        self.all.append(run)
        if self.file:
            with self.file.open("a") as lines:
                lines.write(json.dumps(run) + "\n")

    def medians(self, size: str, key: dict[str, Any]) -> Figures:
        """The medians of the runs of a size."""
        found: dict[str, dict[str, list[Run]]] = {}
        for run in self.all:
            if run["size"] == size and run.items() >= key.items():
                found.setdefault(run["method"], {}).setdefault(run["who"], []).append(run)
        every = (*FIGURES, *RATES_OF_OURS)
        return {
            method: {
                who: {f: statistics.median(r[f] for r in runs if f in r) for f in every if any(f in r for r in runs)}
                for who, runs in both.items()
            }
            for method, both in found.items()
        }


def peer(plan: Plan, method: str, model: Path, work: Path) -> Run:
    """One run of a peer's script: for it, a class that is known saves the class images and nothing else."""
    size_px, out = _side_px(model), work / "out"
    options: dict[str, Any] = {
        "pretrained_model_name_or_path": model,
        "instance_data_dir": plan.photos,
        "class_data_dir": work / "classes",
        "output_dir": out,
        "instance_prompt": "a photo of zuf dog",
        "class_prompt": "a photo of a dog",
        "num_class_images": plan.class_images,
        "resolution": size_px,
        "train_batch_size": 1,
        "learning_rate": RATES[method],
        "lr_scheduler": "constant",
        "lr_warmup_steps": 0,
        "max_train_steps": plan.steps,
        "checkpointing_steps": 10**6,
        "seed": 0,
        "mixed_precision": "bf16" if _has_gpu() else "no",
    }
    flags = [f"--{name}={value}" for name, value in options.items()]
    script, more = plan.scripts / SCRIPTS[method], ["--train_text_encoder"]
    if model.name in WRITERS:
        script, more = plan.scripts / peer_transformers.SCRIPTS[model.name], [*peer_transformers.FLAGS[model.name]]
        _write_class_images(work / "classes", plan.class_images, size_px)
    args = ["tests.bench.peer_script", script, *flags, "--with_prior_preservation", *more]
    cold, warm = run_process(plan, args, {}), run_process(plan, args, {})
    kept = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    return {
        "step_s": statistics.median(cold["steps_s"][3:] + warm["steps_s"][3:]),
        "step_cpu_s": statistics.median(cold["steps_cpu_s"][3:] + warm["steps_cpu_s"][3:]),
        "cold_s": cold["wall_s"],
        "warm_s": warm["wall_s"],
        "peak_bytes": cold["peak_bytes"],
        "kept_bytes": kept,
    }


def _side_px(model: Path) -> int:
    side: int = json.loads((model / "vae" / "config.json").read_text())["sample_size"]
    return side


def _write_class_images(folder: Path, count: int, side_px: int) -> None:
    """Stand-ins for class images: these scripts would draw them of 1024 pixels, whatever the model."""
    folder.mkdir(exist_ok=True)
    for number in range(count):
        Image.new("RGB", (side_px, side_px), (40 * number % 256, 90, 120)).save(folder / f"{number}.png")


def ours(plan: Plan, method: str, model: Path, work: Path) -> Run:
    """The same by Darkroom, whose worker holds the model already when a person asks."""
    changes = json.dumps(plan.changes)
    method = f"{method} of a transformer" if model.name in WRITERS else method
    given = [model, plan.photos, method, plan.steps, plan.class_images, work / "weights", changes]
    said = run_process(plan, ["tests.bench.our_script", *given], KEEP_MEMORY)  # as the worker starts its engine
    steps_s, steps_cpu_s = said.pop("steps_s"), said.pop("steps_cpu_s")
    return {"step_s": statistics.median(steps_s), "step_cpu_s": statistics.median(steps_cpu_s), **said}


def run_process(plan: Plan, arguments: list[Any], environment: dict[str, str]) -> Run:
    """What a process says last; raises RuntimeError with its last words if it fails."""
    environment = environment | os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    command, left_s = [sys.executable, "-m", *map(str, arguments)], plan.ends_s - time.monotonic()
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False, timeout=max(1.0, left_s)
        )
    except subprocess.TimeoutExpired as error:
        raise RuntimeError("the time was up") from error
    if done.returncode:
        raise RuntimeError(done.stdout[-2000:] + done.stderr[-4000:])
    found: Run = json.loads(done.stdout.splitlines()[-1])
    return found


def _has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()


def runs(plan: Plan, size: str, model: Path, rounds: int, methods: list[str]) -> Iterator[Run]:
    """Run both in turns; yield each run that ends well, and report the others."""
    for _ in range(rounds):
        for method in ["lora"] if size in WRITERS else methods:
            for who in WHO:
                with tempfile.TemporaryDirectory() as work:  # a model that was learned in full takes gigabytes
                    given = replace(plan, photos=_shrunk(plan, model, Path(work))) if plan.shrink else plan
                    try:
                        said = (peer if who == "peer" else ours)(given, method, model, Path(work))
                    except (RuntimeError, OSError, ValueError, LookupError) as error:
                        Console(stderr=True).print(f"{size}, {method}, {who} failed: {error}", markup=False)
                        continue
                yield {"size": size, "method": method, "who": who, **plan.key, **said}


def _shrunk(plan: Plan, model: Path, work: Path) -> Path:
    """A folder of the photos, their short sides as long as those of the model's pictures."""
    folder, side_px = work / "photos", _side_px(model)
    folder.mkdir()
    for path in sorted(plan.photos.iterdir()):
        photo = Image.open(path).convert("RGB")
        scale = side_px / min(photo.size)
        size = (max(side_px, round(photo.width * scale)), max(side_px, round(photo.height * scale)))
        photo.resize(size, Image.Resampling.LANCZOS).save(folder / f"{path.stem}.png")
    return folder


def model_of(size: str, folder: Path) -> Path:
    """The model of a size, written into `folder` unless it is there already."""
    model = folder / size
    if not (model / "model_index.json").exists():  # which is written last
        WRITERS[size](model) if size in WRITERS else write_model(SIZES[size], model)
    return model


def table(figures: Figures, title: str) -> Table:
    """Medians and ratios, peer ÷ ours; what no run has told is left out."""
    table = Table("", "peer", "ours", "peer ÷ ours", title=title)
    for method, both in figures.items():
        told = [both.get(who, {}) for who in WHO]
        for figure in FIGURES:
            values = [each.get(figure) for each in told]
            ratio = f"{values[0] / values[1]:.2f}" if values[0] and values[1] else ""
            table.add_row(f"{method} {figure}", *(f"{value:,.4g}" if value else "" for value in values), ratio)
        if "ours" in both:  # who counts what a step computes, and how quick the machine is
            flops, fastest = (both["ours"][rate] for rate in RATES_OF_OURS)
            needed = [flops / each["step_s"] if each else 0.0 for each in told]  # what the peer computes besides is not
            rates = [(f"{each / 1e12:.4g}", f"{each / fastest:.1%}") if each else ("", "") for each in needed]
            table.add_row(f"{method} TFLOP/s that learn", *(rate for rate, _ in rates), "")
            table.add_row(f"{method} share of the matmul rate", *(share for _, share in rates), "")
    return table


def main(
    scripts: Annotated[Path, typer.Option(help="folder of the peer's two scripts")],
    photos: Annotated[Path, typer.Option(help="folder of photos of a subject")],
    size: Annotated[list[str], typer.Option(help=", ".join((*SIZES, *WRITERS)))],
    steps: int = 60,
    class_images: int = 8,
    rounds: int = 5,
    methods: str = "full,lora",
    changes: Annotated[str, typer.Option("--set", help="changes of our recipe, like compiled=blocks")] = "",
    out: Annotated[Path | None, typer.Option(help="file that each run is appended to, and whose runs count")] = None,
    models: Annotated[Path | None, typer.Option(help="folder where models are kept, or written the first time")] = None,
    minutes: Annotated[float, typer.Option(help="after which no more is run")] = 24 * 60.0,
    shrink: Annotated[bool, typer.Option(help="make photos as small as the model's pictures before")] = False,
) -> None:
    """Time both in turns with models of these sizes; print a table each and one JSON object."""
    ends_s = time.monotonic() + 60 * minutes
    plan = Plan(scripts, photos, steps, class_images, checked(parsed(changes)), ends_s, shrink)
    kept, screen = Runs(out), Console()
    with tempfile.TemporaryDirectory() as scratch:
        for each in size:
            for run in runs(plan, each, model_of(each, models or Path(scratch)), rounds, methods.split(",")):
                kept.add(run)
                screen.print(f"{each}, {run['method']}, {run['who']}: {run['step_s']:.4f} s a step", highlight=False)
    found = {each: kept.medians(each, plan.key) for each in size}
    for each, figures in found.items():
        screen.print(table(figures, f"{each}, {steps} steps, medians"))
    print(json.dumps(found))  # noqa: T201
    if not all(both.keys() == {*WHO} for each in found.values() for both in each.values()) or not all(found.values()):
        sys.exit("Not all could be measured: what failed is above.")


if __name__ == "__main__":
    typer.run(main)

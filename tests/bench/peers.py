"""Darkroom beside diffusers' DreamBooth scripts, in turns: `make bench SCRIPTS=DIR PHOTOS=DIR`.

The scripts are `train_dreambooth.py` and `train_dreambooth_lora.py` of a copy of diffusers. Each training runs in a
process of its own with one thread. The last lines are a table for each size and one JSON object.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from bot.asking.recipes import checked, parsed
from storage.recipe import Changes
from tests.bench.peer_models import SIZES, write_model
from trainer.engine_client import KEEP_MEMORY

SCRIPTS = {"full": "train_dreambooth.py", "lora": "train_dreambooth_lora.py"}
RATES = {"full": "2e-6", "lora": "1e-4"}
FIGURES = ("step_s", "cold_s", "warm_s", "peak_bytes", "kept_bytes")
RATES_OF_OURS = ("step_flops", "matmul_flops_s")
Figures = dict[str, dict[str, dict[str, float]]]  # by method, and who: peer or ours


def peer(
    script: Path, method: str, model: Path, photos: Path, work: Path, steps: int, class_images: int
) -> dict[str, Any]:
    """One run of a peer's script: for it, a class that is known saves the class images and nothing else."""
    size_px, out = json.loads((model / "unet" / "config.json").read_text())["sample_size"] * 8, work / "out"
    options: dict[str, Any] = {
        "pretrained_model_name_or_path": model,
        "instance_data_dir": photos,
        "class_data_dir": work / "classes",
        "output_dir": out,
        "instance_prompt": "a photo of zuf dog",
        "class_prompt": "a photo of a dog",
        "num_class_images": class_images,
        "resolution": size_px,
        "train_batch_size": 1,
        "learning_rate": RATES[method],
        "lr_scheduler": "constant",
        "lr_warmup_steps": 0,
        "max_train_steps": steps,
        "checkpointing_steps": 10**6,
        "seed": 0,
        "mixed_precision": "bf16" if _has_gpu() else "no",
    }
    flags = [f"--{name}={value}" for name, value in options.items()]
    args = ["tests.bench.peer_script", script, *flags, "--with_prior_preservation", "--train_text_encoder"]
    cold, warm = _run(args, {}), _run(args, {})
    kept = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    return {
        "step_s": statistics.median(cold["steps_s"][3:] + warm["steps_s"][3:]),
        "cold_s": cold["wall_s"],
        "warm_s": warm["wall_s"],
        "peak_bytes": cold["peak_bytes"],
        "kept_bytes": kept,
    }


def ours(
    method: str, model: Path, photos: Path, work: Path, steps: int, class_images: int, changes: Changes
) -> dict[str, Any]:
    """The same by Darkroom, whose worker holds the model already when a person asks."""
    args = ["tests.bench.our_script", model, photos, method, steps, class_images, work / "weights", json.dumps(changes)]
    said = _run(args, KEEP_MEMORY)  # as the worker starts its engine
    return {**said, "step_s": statistics.median(said.pop("steps_s"))}


def _run(arguments: list[Any], environment: dict[str, str]) -> dict[str, Any]:
    environment = environment | os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-m", *map(str, arguments)], env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(done.stdout[-2000:] + done.stderr[-4000:])
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()


def compare(
    scripts: Path, photos: Path, size: str, steps: int, class_images: int, rounds: int, methods: str, changes: Changes
) -> Figures:
    """Time both in turns; return the medians by method, who and figure."""
    found: dict[str, dict[str, list[dict[str, Any]]]] = {m: {"peer": [], "ours": []} for m in methods.split(",")}
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "model"
        write_model(SIZES[size], model)
        for turn in range(rounds):
            for method, runs in found.items():
                for who in ("peer", "ours"):
                    work = Path(folder) / f"{turn}-{method}-{who}"
                    work.mkdir()
                    given = method, model, photos, work, steps, class_images
                    runs[who].append(
                        peer(scripts / SCRIPTS[method], *given) if who == "peer" else ours(*given, changes)
                    )
    return {
        method: {
            who: {f: statistics.median([run[f] for run in runs]) for f in (*FIGURES, *RATES_OF_OURS) if f in runs[0]}
            for who, runs in both.items()
        }
        for method, both in found.items()
    }


def table(figures: Figures, title: str) -> Table:
    """Medians and ratios, peer ÷ ours."""
    table = Table("", "peer", "ours", "peer ÷ ours", title=title)
    for method, both in figures.items():
        for figure in FIGURES:
            one, two = both["peer"][figure], both["ours"][figure]
            table.add_row(f"{method} {figure}", f"{one:,.4g}", f"{two:,.4g}", f"{one / two:.2f}")
        flops, fastest = (both["ours"][rate] for rate in RATES_OF_OURS)
        needed = [flops / both[who]["step_s"] for who in ("peer", "ours")]  # what the peer computes besides is not
        table.add_row(f"{method} TFLOP/s that learn", *(f"{each / 1e12:.4g}" for each in needed), "")
        table.add_row(f"{method} share of the matmul rate", *(f"{each / fastest:.1%}" for each in needed), "")
    return table


def main(
    scripts: Annotated[Path, typer.Option(help="folder of the peer's two scripts")],
    photos: Annotated[Path, typer.Option(help="folder of photos of a subject")],
    size: Annotated[list[str], typer.Option(help=", ".join(SIZES))],
    steps: int = 60,
    class_images: int = 8,
    rounds: int = 5,
    methods: str = "full,lora",
    changes: Annotated[str, typer.Option("--set", help="changes of our recipe, like compiled=true")] = "",
) -> None:
    """Time both in turns with models of these sizes; print a table each and one JSON object."""
    found = {}
    for each in size:
        found[each] = compare(scripts, photos, each, steps, class_images, rounds, methods, checked(parsed(changes)))
        Console().print(table(found[each], f"{each}, {steps} steps, medians of {rounds}"))
    print(json.dumps(found))  # noqa: T201


if __name__ == "__main__":
    typer.run(main)

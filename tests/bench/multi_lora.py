"""LoRA trainings in one step beside diffusers' script: `python -m tests.bench.multi_lora --scripts DIR --photos DIR`.

Subject-steps a second of eight trainings in one step, of ours one after another, and of the peer's script, which trains
one subject after another: its eight runs take eight times as long as one. In turns, each in a process of its own with
one thread; the peer is `train_dreambooth_lora.py` of a copy of diffusers. Each run is appended to a file if one is
named, and those that the file has are not run again.
"""

import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from tests.bench.peer_models import SIZES
from tests.bench.peers import Plan, Run, model_of, peer, run_process
from trainer.worker.engine_handle import KEEP_MEMORY

WARM_STEPS = 4
WHO = ("alone", "together")


def measure(model: str, photos: str, steps: int, subjects: int) -> dict[str, float]:
    """Seconds of a subject's step, alone and together, and the greatest difference between the two after all steps."""
    import torch

    from tests.bench.our_script import recipe
    from trainer.dreambooth.dataset import SubjectSpec
    from trainer.dreambooth.multi_lora import MultiLora
    from trainer.dreambooth.train import Training
    from trainer.models.base import load_base

    base, paths = load_base(model), sorted(Path(photos).iterdir())
    how = recipe("lora", steps + WARM_STEPS, 8, {})
    classes = torch.randn(8, *base.latent_shape(), generator=torch.Generator().manual_seed(1))

    def trainings() -> list[Training]:
        return [Training(base, [(SubjectSpec(paths, "dog", "zuf"), classes)], how, seed) for seed in range(subjects)]

    def wait() -> None:
        if base.device.type == "cuda":
            torch.cuda.synchronize()

    both, took, multi = {"alone": trainings(), "together": trainings()}, {}, MultiLora(base, subjects)
    for who, each in both.items():
        for number in range(steps + WARM_STEPS):
            if number == WARM_STEPS:
                wait()
                began_s, cpu_s = time.perf_counter(), time.process_time()
            if who == "together":
                multi.step(each)
            for training in each:
                training.step()
        wait()
        took[f"{who}_s"] = (time.perf_counter() - began_s) / steps / subjects
        took[f"{who}_cpu_s"] = (time.process_time() - cpu_s) / steps / subjects
    apart = [
        float((weight - other.learning[name]).abs().max())
        for one, other in zip(*both.values(), strict=True)
        for name, weight in one.learning.items()
    ]
    return {"ok": True, **took, "difference": max(apart)}


def ours(plan: Plan, model: Path, subjects: int) -> Run:
    """Both of ours in a process of its own, as the worker starts its engine."""
    given = ["measure", model, plan.photos, plan.steps, subjects]
    return run_process(plan, ["tests.bench.multi_lora", *given], KEEP_MEMORY)


def main(
    scripts: Annotated[Path, typer.Option(help="folder of the peer's script")],
    photos: Annotated[Path, typer.Option(help="folder of photos of a subject")],
    size: Annotated[str, typer.Option(help=", ".join(SIZES))] = "tiny",
    steps: int = 30,
    subjects: int = 8,
    rounds: int = 3,
    out: Annotated[Path | None, typer.Option(help="file that each run is appended to, and whose runs count")] = None,
    minutes: Annotated[float, typer.Option(help="after which no more is run")] = 60.0,
) -> None:
    """Run both in turns, and print medians as JSON."""
    plan, kept = Plan(scripts, photos, steps, 8, {}, time.monotonic() + 60 * minutes), list[dict[str, Any]]()
    if out and out.exists():
        kept = [run for run in map(json.loads, out.read_text().splitlines()) if run["size"] == size]
    with tempfile.TemporaryDirectory() as scratch:
        model = model_of(size, Path(scratch))
        for number in range(len(kept), rounds):
            with tempfile.TemporaryDirectory() as work:
                theirs = peer(plan, "lora", model, Path(work))
            measured = {"peer_s": theirs["step_s"], "peer_cpu_s": theirs["step_cpu_s"]}
            kept.append({"size": size, **measured, **ours(plan, model, subjects)})
            print(number, kept[-1], flush=True)  # noqa: T201
            if out:
                with out.open("a") as lines:
                    lines.write(json.dumps(kept[-1]) + "\n")
    found = {name: statistics.median(run[name] for run in kept) for name in kept[0] if name.endswith("_s")}
    ratios = {
        f"peer ÷ {who}, {unit}": statistics.median(run[f"peer_{unit}"] / run[f"{who}_{unit}"] for run in kept)
        for who in WHO
        for unit in ("s", "cpu_s")
    }
    print(json.dumps({**found, **ratios}, ensure_ascii=False))  # noqa: T201


if __name__ == "__main__":
    if sys.argv[1:2] == ["measure"]:
        model, photos, steps, subjects = sys.argv[2:]
        print(json.dumps(measure(model, photos, int(steps), int(subjects))))  # noqa: T201
    else:
        typer.run(main)

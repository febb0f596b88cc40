"""The same training by Darkroom, in a process of its own: for `tests.bench.peers`."""

import json
import resource
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from storage.contract.recipe import Changes, Recipe
from trainer.dreambooth import class_images as classes
from trainer.dreambooth.dataset import SubjectSpec
from trainer.dreambooth.train import Training
from trainer.dreambooth.weights import save_learned
from trainer.models.base import BaseModel, load_base
from trainer.steps import run_to_end

CLASS_STEPS, WARM_STEPS = 20, 4


def recipe(method: str, steps: int, class_images: int, changes: Changes) -> Recipe:
    """What the peers' scripts are told, too, but for the sampler of class images and `changes`."""
    method, _, transformer = method.partition(" of a ")
    rates: dict[str, float] = {"learning_rate": 1e-4, "text_learning_rate": 1e-4} if method == "lora" else {}
    if transformer:  # whose text encoder stays as it is
        rates["text_learning_rate"] = 0
    precision = "bf16" if torch.cuda.is_available() else "no"
    return Recipe.model_validate(
        {"method": method, "rank": 4, "steps": steps, "schedule": "constant", "warmup_steps": 0, **rates}
        | {"class_images": class_images, "class_steps": CLASS_STEPS, "precision": precision}
        | changes
    )


def flops_of_a_step(training: Training) -> float:
    """What a step computes, in matrix products and convolutions, there and back."""
    training.taken = 0  # it has come to its end, and there is room for the losses of so many steps only
    with FlopCounterMode(display=False) as counted:
        training.step()
    return float(counted.get_total_flops())


def matmul_flops_s(device: torch.device) -> float:
    """What this machine computes in a second of nothing but products of large matrices, in the training's precision."""
    side, dtype = (8192, torch.bfloat16) if device.type == "cuda" else (1024, torch.float32)
    one, other, rates = *torch.randn(2, side, side, device=device, dtype=dtype), []
    for _ in range(10):
        began_s = time.perf_counter()
        (one @ other).sum().item()  # which waits for it
        rates.append(2 * side**3 / (time.perf_counter() - began_s))
    return statistics.median(rates)


@dataclass(frozen=True)
class Learned:
    """How long a training took, photos to weights and each of its steps, and what a step computes."""

    wall_s: float
    steps_s: list[float]
    steps_cpu_s: list[float]
    step_flops: float


def learn(base: BaseModel, photos: list[Path], how: Recipe, class_set: Path, out: Path) -> Learned:
    """Learn a subject as the engine does. Nothing of the training stays in memory."""
    asked_s = time.perf_counter()
    if not class_set.exists():
        run_to_end(classes.draw_class_set(base, "dog", how, class_set))
    training = Training(base, [(SubjectSpec(photos, "dog", "zuf"), classes.read_class_set(class_set))], how, seed=0)
    steps_s, steps_cpu_s = [], []
    for _ in range(how.steps):
        began_s, began_cpu_s = time.perf_counter(), time.process_time()
        training.step()
        if base.device.type == "cuda":
            torch.cuda.synchronize()  # for the clock; a training does not wait
        steps_s.append(time.perf_counter() - began_s)
        steps_cpu_s.append(time.process_time() - began_cpu_s)
    save_learned(out, training.denoiser, base.denoiser)
    return Learned(time.perf_counter() - asked_s, steps_s, steps_cpu_s, flops_of_a_step(training))


def main() -> None:
    """Learn twice on one loaded model: a class that is new, and one that is known. Print one JSON object, last.

    A worker compiles, and finds its quickest kernels, with the first subject of its life: here, with one before.
    """
    model, photos, method, steps, class_images, out, changes = sys.argv[1:]
    base, how = load_base(model), recipe(method, int(steps), int(class_images), json.loads(changes))
    paths = sorted(Path(photos).iterdir())
    once = how.model_copy(update={"steps": WARM_STEPS, "class_steps": WARM_STEPS})
    learn(base, paths, once, Path(f"{out}-warm-classes"), Path(out))
    given = base, paths, how, Path(f"{out}-classes"), Path(out)
    cold, warm = learn(*given), learn(*given)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    if base.device.type == "cuda":
        peak = torch.cuda.max_memory_allocated()
    times = {"steps_s": cold.steps_s[3:] + warm.steps_s[3:], "steps_cpu_s": cold.steps_cpu_s[3:] + warm.steps_cpu_s[3:]}
    times |= {"cold_s": cold.wall_s, "warm_s": warm.wall_s}
    sizes = {"peak_bytes": peak, "kept_bytes": Path(out).stat().st_size}
    rates = {"step_flops": warm.step_flops, "matmul_flops_s": matmul_flops_s(base.device)}
    print(json.dumps({**times, **sizes, **rates}))  # noqa: T201


if __name__ == "__main__":
    main()

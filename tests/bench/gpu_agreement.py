"""Whether training and drawing on this device come to what the CPU comes to: stages of `tests.bench.gpu`.

`reference` writes a micro model, the batches of a few steps in float32, their losses and latents of pictures into a
folder, on the CPU. `train` and `draw` do the same on whatever device there is, from the same batches and seeds.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Generator, Tensor

from storage.contract.recipe import Recipe
from tests.support.micro_models import write_micro_sd1
from trainer.diffusion import sampling
from trainer.dreambooth.batches import Batch
from trainer.dreambooth.dataset import SubjectSpec
from trainer.dreambooth.train import Training
from trainer.models.base import BaseModel, load_base

STEPS = 10
METHODS = ("lora", "full")  # most people train LoRA
LOSS_MAX = 2e-3  # relative: reductions add up in another order on a GPU, and ten optimizer steps carry it on
LATENT_MAX = 2e-2  # absolute, of latents with a spread of about one, after twenty steps
PARTS = ("clean", "noise", "t")
SCHEDULERS = ("ddim", "dpm++2m", "euler-a")


class Recorded:
    """Examples that are those of a training before, in place of ones drawn by the device's own generator."""

    def __init__(self, tensors: dict[str, Tensor], method: str, device: torch.device) -> None:
        steps = ([tensors[f"{method}.{part}.{step}"].to(device) for part in PARTS] for step in range(STEPS))
        self.batches = (Batch(*parts, instances=1) for parts in steps)

    def draw(self, count: int, passes: int, chance: Generator) -> Iterator[Batch]:
        """The batch of the next step."""
        yield next(self.batches)


class Recording:
    """Examples that are drawn as always, and kept."""

    def __init__(self, examples: Any, tensors: dict[str, Tensor]) -> None:
        self.examples, self.tensors, self.step = examples, tensors, 0

    def draw(self, count: int, passes: int, chance: Generator) -> Iterator[Batch]:
        """The batch of the next step, whose parts go into `tensors`."""
        (batch,) = self.examples.draw(count, passes, chance)
        for name in PARTS:
            self.tensors[f"{name}.{self.step}"] = getattr(batch, name).clone()
        self.step += 1
        yield batch


def recipe(method: str, compiled: str) -> Recipe:
    """Ten quick steps in float32."""
    return Recipe.model_validate(
        {"method": method, "compiled": compiled, "steps": STEPS, "learning_rate": 1e-4, "text_learning_rate": 1e-4}
        | {"warmup_steps": 0, "schedule": "constant", "batch": 1, "precision": "no", "wordings": 1, "rank": 4}
    )


def training(base: BaseModel, photos: Path, how: Recipe) -> Training:
    """A training that is about to begin; class latents come from a seed."""
    side = base.image_px // base.latent_px
    class_latents = torch.randn(4, 4, side, side, generator=Generator().manual_seed(1))
    return Training(base, [(SubjectSpec(sorted(photos.iterdir()), "dog", "zuf"), class_latents)], how, seed=0)


def losses_of(one: Training) -> list[float]:
    """Take all steps."""
    for _ in range(STEPS):
        one.step()
    found: list[float] = one.losses[:, 0].tolist()
    return found


def latents(base: BaseModel, scheduler: str) -> Tensor:
    """Two pictures of one prompt."""
    how: dict[str, Any] = {"steps": 20, "guidance": 5.0, "scheduler": scheduler}
    return sampling.sample_latents(base, base.denoiser, "a dog in Paris", [1, 2], **how).cpu()


def reference(folder: Path, photos: Path) -> dict[str, Any]:
    """Write the model and what the CPU makes with it."""
    base = load_base(str(write_micro_sd1(folder / "model")))
    assert base.device.type == "cpu", "CUDA_VISIBLE_DEVICES has to be empty for the reference"
    tensors = {f"latents.{name}": latents(base, name) for name in SCHEDULERS}
    for method in METHODS:
        kept: dict[str, Tensor] = {}
        one = training(base, photos, recipe(method, "off"))
        one.subjects[0].examples = Recording(one.subjects[0].examples, kept)  # type: ignore[assignment]
        kept["losses"] = torch.tensor(losses_of(one))
        tensors |= {f"{method}.{name}": tensor for name, tensor in kept.items()}
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / "reference.safetensors")
    return {"ok": True}


def train(folder: Path, photos: Path, compiled: str) -> dict[str, Any]:
    """Ten steps of each method here, from the reference's batches; how far the losses are from its, relatively."""
    base = load_base(str(folder / "model"), precision="float32")
    known, differences = load_file(folder / "reference.safetensors"), {}
    for method in METHODS:
        one = training(base, photos, recipe(method, compiled))
        one.subjects[0].examples = Recorded(known, method, base.device)  # type: ignore[assignment]
        found, wanted = torch.tensor(losses_of(one)), known[f"{method}.losses"]
        differences[method] = float(((found - wanted).abs() / wanted.abs()).max())
    return {"ok": max(differences.values()) <= LOSS_MAX, "loss_difference": differences, "device": base.device.type}


def draw(folder: Path, photos: Path) -> dict[str, Any]:
    """Two pictures by each scheduler here; how far their latents are from the reference's."""
    base = load_base(str(folder / "model"), precision="float32")
    known, differences = load_file(folder / "reference.safetensors"), {}
    for name in SCHEDULERS:
        differences[name] = float((latents(base, name) - known[f"latents.{name}"]).abs().max())
    return {"ok": max(differences.values()) <= LATENT_MAX, "latent_difference": differences, "device": base.device.type}


if __name__ == "__main__":
    torch.backends.cudnn.allow_tf32 = False  # so that rounding is float32's, as on a CPU
    stage, folder, photos, *given = sys.argv[1:]
    run = {"reference": reference, "train": train, "draw": draw}[stage]
    print(json.dumps(run(Path(folder), Path(photos), *given)))  # noqa: T201

"""What int8 and float8 weights change: `python -m tests.bench.base_weights [--captions N]`.

Errors are relative norms: of one prediction, and of latents after ten steps, against the same model with whole weights.
Transformers are of random weights, 256 wide; Toyworld's pictures are judged, too. Weights are dequantised once here,
and not for each product, which is quicker and gives the same numbers. Prints a table in Markdown.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from research.toyworld.evaluate import base_figures
from storage.settings.trainer import BaseWeights
from tests.bench.peer_transformers import write_klein, write_z_image
from tests.support.micro_models import write_micro_krea2
from trainer.diffusion import sampling
from trainer.models.base import BaseModel, load_base
from trainer.models.quantised_linear import dequantised, is_quantised
from trainer.toyworld.judge import load_judge

WRITERS: dict[str, Callable[[Path], Any]] = {
    "FLUX.2 klein, random": write_klein,
    "Z-Image, random": write_z_image,
    "Krea 2, micro, random": write_micro_krea2,
}
KEPT: tuple[BaseWeights, ...] = ("plain", "int8", "float8")
HOW: dict[str, Any] = {
    "steps": 10,
    "scheduler": "euler",
    "guidance": 4.0,
    "seeds": [1, 2],
    "prompt": "a photo of a dog",
}
JUDGED_STEPS = 12  # of captions, Toyworld draws as many right as in more


@torch.no_grad()
def prediction(base: BaseModel) -> Tensor:
    """What is predicted for four latents at different times."""
    noisy = torch.randn(4, *base.latent_shape(), generator=torch.Generator().manual_seed(0))
    reading = base.denoiser.read(base.token_ids(["a photo of a dog"]))
    return base.denoiser(
        noisy, torch.tensor([100.0, 400.0, 700.0, 950.0]).to(base.process.scheduler.timesteps), reading
    )


def latents(base: BaseModel) -> Tensor:
    """Two drawings."""
    return sampling.sample_latents(base, base.denoiser, **HOW)


def share_quantised(base: BaseModel) -> float:
    """Of the weights of the network that predicts."""
    layers = [layer for layer in base.denoiser.backbone.modules() if is_quantised(layer)]
    of = sum(weight.numel() for weight in base.denoiser.backbone.parameters())
    return sum(layer.weight.numel() for layer in layers) / of


def dequantise(base: BaseModel) -> None:
    """Have a model compute with the whole numbers that its weights in 8 bits stand for."""
    for layer in filter(is_quantised, [*base.denoiser.modules()]):
        whole = dequantised(layer.weight.data, layer._parameters.pop("scale"), layer.dtype)
        layer.weight, layer.__class__ = nn.Parameter(whole, requires_grad=False), nn.Linear


def off(one: Tensor, other: Tensor) -> str:
    """The relative norm of the difference."""
    return f"{float((one - other).norm() / other.norm()):.2%}"


def rows(name: str, model: str, captions: int) -> list[tuple[str, ...]]:
    """A row for each way to keep the weights of a model."""
    bases = {kept: load_base(model, weights=kept) for kept in KEPT}
    shares = {kept: share_quantised(base) for kept, base in bases.items()}
    for base in bases.values():
        dequantise(base)
    known = {kept: (prediction(base), latents(base)) for kept, base in bases.items()}
    found = []
    for kept, base in bases.items():
        errors = [off(one, other) for one, other in zip(known[kept], known["plain"], strict=True)]
        judged = ""
        if captions and model == "toyworld":
            figures = base_figures(base, load_judge(), captions, steps=JUDGED_STEPS)
            judged = ", ".join(f"{figures[label]:.1%}" for label in ("noun", "colour", "place"))
        found.append((name, kept, f"{shares[kept]:.0%}", *errors, judged))
    return found


def show(lines: list[tuple[str, ...]]) -> None:
    """Print rows of the table, as soon as they are known."""
    sys.stdout.write("".join(f"| {' | '.join(cells)} |\n" for cells in lines))
    sys.stdout.flush()


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--captions", type=int, default=128, help="pictures of Toyworld that are judged")
    captions = parser.parse_args().captions
    torch.set_num_threads(1)
    os.environ["DARKROOM_ACCEPTED_LICENCES"] = "krea-2-community"  # of random weights there is nothing to accept
    head = ("model", "weights", "quantised", "prediction off by", "drawing off by", "class, colour, place right")
    show([head, ("---",) * len(head)])
    with tempfile.TemporaryDirectory() as scratch:
        for name, write in WRITERS.items():
            write(Path(scratch) / name)
            show(rows(name, str(Path(scratch) / name), 0))
    show(rows("Toyworld", "toyworld", captions))


if __name__ == "__main__":
    main()

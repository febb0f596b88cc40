"""What a training leaves: a file of safetensors with only what it changed, in half precision.

A full training leaves the difference of each weight to the base model's. The difference is small, so its half precision
costs far less than that of the weight would. LoRA leaves its adapters.
"""

from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from trainer.denoiser import Denoiser
from trainer.finite import NotFinite, not_finite
from trainer.training import lora

DIFFERENCES = {"format": "darkroom differences 1"}
ADAPTERS = {"format": "pt", "ss_network_module": "networks.lora"}  # by which web UIs know LoRA


def save_learned(path: Path, learned: Denoiser, base: Denoiser) -> None:
    """Write what was learned."""
    save(path, halves(learned, base))


def halves(learned: Denoiser, base: Denoiser) -> dict[str, Tensor]:
    """What was learned, as a file holds it: in half precision, and not on a GPU."""
    kept = lora.state(learned).items() or _differences(learned, base)
    return {name: value.detach().to("cpu", torch.bfloat16).contiguous() for name, value in kept}


def save(path: Path, kept: dict[str, Tensor]) -> None:
    """Write what `halves` gave."""
    save_file(kept, path, ADAPTERS if lora.is_lora(kept) else DIFFERENCES)


def _differences(learned: Denoiser, base: Denoiser) -> Iterator[tuple[str, Tensor]]:
    """One at a time: a GPU that has just learned has no room for all of them."""
    before = base.state_dict()
    for name, value in learned.state_dict().items():
        if value.is_floating_point() and not torch.equal(value, before[name].to(value.dtype)):
            yield name, value - before[name]


def load_learned(path: Path, into: Denoiser, base: Denoiser, *others: Path) -> None:
    """Put the base weights with what was learned into `into`, that in `others` added up with it.

    Raises ValueError if they do not fit together, NotFinite if they are not all numbers.
    """
    learned = _read(path, base)
    for other in others:
        for name, value in _read(other, base).items():
            learned[name] = learned[name] + value if name in learned else value
    _put(learned, into, base)


def put(kept: dict[str, Tensor], into: Denoiser, base: Denoiser) -> None:
    """The same with what `halves` gave."""
    _put(_added(kept, base), into, base)


def _read(path: Path, base: Denoiser) -> dict[str, Tensor]:
    kept = load_file(path)
    if not_finite(kept.items()):
        raise NotFinite("What was learned is damaged: not all of its weights are numbers. Retrain the subject.")
    try:
        return _added(kept, base)
    except ValueError as error:
        raise ValueError(f"{path.name} was not learned on this base model: {error}") from error


def _added(kept: dict[str, Tensor], base: Denoiser) -> dict[str, Tensor]:
    """What is added to the base weights, by their names."""
    learned = lora.deltas(kept, base) if lora.is_lora(kept) else kept
    _check(learned, base)
    return learned


def _put(learned: dict[str, Tensor], into: Denoiser, base: Denoiser) -> None:
    with torch.no_grad():
        for (name, weight), before in zip(into.state_dict().items(), base.state_dict().values(), strict=True):
            weight.copy_(before.float() + learned[name].to(before.device).float() if name in learned else before)


def _check(learned: dict[str, Tensor], base: Denoiser) -> None:
    weights = base.state_dict()
    for name, value in learned.items():
        if name not in weights or weights[name].shape != value.shape:
            raise ValueError(f"{name} does not fit")

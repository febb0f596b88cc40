"""What a training leaves: a file of safetensors with only what it changed, in half precision.

A full training leaves the difference of each weight to the base model's. The difference is small, so its half precision
costs far less than that of the weight would. LoRA leaves its adapters.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from trainer.diffusion.row_adapters import Adapter
from trainer.dreambooth import lora
from trainer.models.denoiser import Denoiser
from trainer.models.finite import NotFinite, not_finite
from trainer.models.quantised_linear import QuantisedLinear, weight_dtype

DIFFERENCES = {"format": "darkroom differences 1"}
Learned = dict[str, Tensor]  # what is added to the weights of the base model, by their names
ADAPTERS = {"format": "pt", "ss_network_module": "networks.lora"}  # by which web UIs know LoRA


def save_learned(path: Path, learned: Denoiser, base: Denoiser) -> None:
    """Write what was learned."""
    save(path, half_precision(learned, base))


def half_precision(learned: Denoiser, base: Denoiser) -> dict[str, Tensor]:
    """What was learned, as a file holds it: in half precision, and not on a GPU."""
    weights = lora.state(learned).items() or _differences(learned, base)
    # bfloat16 has the exponents of float32; in float16, differences below 6e-8 would be zeros.
    return {name: value.detach().to("cpu", torch.bfloat16).contiguous() for name, value in weights}


def save(path: Path, weights: dict[str, Tensor]) -> None:
    """Write what `half_precision` gave."""
    save_file(weights, path, ADAPTERS if lora.is_lora(weights) else DIFFERENCES)


def _differences(learned: Denoiser, base: Denoiser) -> Iterator[tuple[str, Tensor]]:
    """Differences of weights to the base model's, one at a time: a GPU has no room for all of them after a training."""
    before = base.state_dict()
    for name, value in learned.state_dict().items():
        # Compared in the trained precision: a base in half precision was cast up, and is equal where nothing learned.
        if value.is_floating_point() and not torch.equal(value, before[name].to(value.dtype)):
            yield name, value - before[name]


def load_learned(path: Path, into: Denoiser, base: Denoiser, *others: Path) -> None:
    """Put the base weights with what was learned into `into`, that in `others` added up with it.

    Raises ValueError if they do not fit together, NotFinite if they are not all numbers.
    """
    _put(added_up([read_learned(each, base) for each in (path, *others)]), into, base)


def added_up(learned: Sequence[Learned]) -> Learned:
    """The sum of what was learned in several trainings."""
    changes: Learned = {}
    for each in learned:
        for name, value in each.items():
            changes[name] = changes[name] + value if name in changes else value
    return changes


def changed(weight: Tensor, change: Tensor) -> Tensor:
    """A weight of the base model with what was learned, as precise as it is."""
    # Added in float32: in half precision most differences are smaller than the spacing of the numbers.
    return torch.empty_like(weight).copy_(weight.float() + change.to(weight.device).float())


def load_adapter(path: Path, base: Denoiser) -> Adapter | None:
    """LoRA as adapters of linear layers, as precise as `base` and where it is; None if the file holds anything else.

    Raises ValueError if they do not fit, NotFinite if they are not all numbers.
    """
    return adapter_of(_numbers(path), base) if is_lora_file(path) else None


def adapter_of(weights: dict[str, Tensor], base: Denoiser) -> Adapter | None:
    """The same of weights that `half_precision` returned."""
    layers, device = {}, base.device
    for name, layer in lora.factors(weights, base).items():
        module = base.get_submodule(name)
        if type(module) not in (nn.Linear, QuantisedLinear) or name.startswith(base.rowless):
            return None
        if layer.up.shape[1:] != layer.down.shape[:1]:
            return None
        dtype = weight_dtype(module)
        layers[name] = layer.down.to(device, dtype), (layer.up * layer.scale).to(device, dtype)
    return Adapter(layers)


def is_lora_file(path: Path) -> bool:
    """Whether a file holds adapters, by the names in its header."""
    with safe_open(path, "pt") as file:
        return lora.is_lora(dict.fromkeys(file.keys()))


def put(weights: dict[str, Tensor], into: Denoiser, base: Denoiser) -> None:
    """Load weights that `half_precision` returned."""
    _put(_added(weights, base), into, base)


def read_learned(path: Path, base: Denoiser) -> Learned:
    """Read what a file adds to the weights of `base`.

    Raises ValueError if it does not fit, NotFinite if not all of it are numbers.
    """
    weights = _numbers(path)
    try:
        return _added(weights, base)
    except ValueError as error:
        raise ValueError(f"{path.name} was not learned on this base model: {error}") from error


def _numbers(path: Path) -> dict[str, Tensor]:
    weights = load_file(path)
    if not_finite(weights.items()):
        raise NotFinite("What was learned is damaged: not all of its weights are numbers. Retrain the subject.")
    return weights


def _added(weights: dict[str, Tensor], base: Denoiser) -> Learned:
    """What is added to the base weights, by their names."""
    learned = lora.deltas(weights, base) if lora.is_lora(weights) else weights
    _check(learned, base)
    return learned


def _put(learned: Learned, into: Denoiser, base: Denoiser) -> None:
    with torch.no_grad():
        for (name, weight), before in zip(into.state_dict().items(), base.state_dict().values(), strict=True):
            weight.copy_(changed(before, learned[name]) if name in learned else before)


def _check(learned: dict[str, Tensor], base: Denoiser) -> None:
    weights = base.state_dict()
    for name, value in learned.items():
        if name not in weights or weights[name].shape != value.shape:
            raise ValueError(f"{name} does not fit")

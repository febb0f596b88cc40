"""LoRA (Hu et al. 2021, arXiv 2106.09685): two narrow matrices beside each projection of attention learn, no more.

Files name layers as kohya's scripts do, which diffusers and the common web UIs read:
`lora_unet_down_blocks_0_…_to_q.lora_down.weight`, `….lora_up.weight` and `….alpha`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn

from trainer.dreambooth.lora_linear import LoraLinear
from trainer.models.denoiser import Denoiser

DOWN, UP, ALPHA = ".lora_down.weight", ".lora_up.weight", ".alpha"


def with_adapters(base: Denoiser, rank: int, alpha: int, read: bool, seed: int) -> Denoiser:
    """`base` with fresh adapters, which change nothing yet; in the text encoders, too, if `read`. It stays as it is."""
    denoiser, device = base.sharing().requires_grad_(False), base.device
    # peft initialises from the global generator, from which other runs of the engine draw as well.
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        for network, layers in denoiser.adapter_targets(read):
            config = LoraConfig(r=rank, lora_alpha=alpha, target_modules=layers)
            config._register_custom_module({nn.Linear: LoraLinear})  # peft's way to have layers of one's own
            inject_adapter_in_model(config, network)
    for layer in adapters(denoiser).values():
        for name, part in layer.named_parameters():
            if "lora_" in name:  # the base may be in half precision, and lie elsewhere until its turn
                part.data = part.data.to(device, torch.float32)
    return denoiser


def adapters(denoiser: Denoiser) -> dict[str, Any]:
    """The layers of a denoiser that have adapters, by their names in files."""
    names = denoiser.file_names()
    return {names[path]: layer for path, layer in denoiser.named_modules() if isinstance(layer, LoraLayer)}


def state(denoiser: Denoiser) -> dict[str, Tensor]:
    """The adapters' weights, by their names in files; empty if there are none."""
    weights = {}
    for name, layer in adapters(denoiser).items():
        (which,) = layer.lora_A
        weights[name + DOWN] = layer.lora_A[which].weight
        weights[name + UP] = layer.lora_B[which].weight
        if layer.lora_alpha[which] != layer.r[which]:  # else it goes without saying, for all who read such files
            weights[name + ALPHA] = torch.tensor(float(layer.lora_alpha[which]))
    return weights


def is_lora(weights: Iterable[str]) -> bool:
    """Whether these weights, by their names in a file, are adapters."""
    return any(name.endswith(DOWN) for name in weights)


@dataclass(frozen=True)
class LayerFactors:
    """What a file holds for one layer: its weight changes by scale · up × down."""

    down: Tensor  # rank × in, or as a convolution's kernel
    up: Tensor  # out × rank
    scale: float  # alpha ÷ rank


def factors(lora: Mapping[str, Tensor], base: Denoiser) -> dict[str, LayerFactors]:
    """What adapters hold, by the paths of layers of `base`; raises ValueError if they do not fit."""
    paths = {name: path for path, name in base.file_names().items()}
    weights, each = base.state_dict(), {}
    for name in sorted({key.partition(".")[0] for key in lora}):
        try:
            shape = weights[f"{paths[name]}.weight"].shape
            down, up = lora[name + DOWN].float(), lora[name + UP].float()
            if (up.shape[0], down.shape[1]) != shape[:2]:
                raise IndexError
            alpha = float(lora.get(name + ALPHA, torch.tensor(len(down))))
            each[paths[name]] = LayerFactors(down, up, alpha / len(down))
        except (KeyError, RuntimeError, IndexError) as error:
            raise ValueError(f"{name} does not fit") from error
    return each


def deltas(lora: Mapping[str, Tensor], base: Denoiser) -> dict[str, Tensor]:
    """What adapters add to the weights of `base`, by the names of these; raises ValueError if they do not fit."""
    weights, added = base.state_dict(), {}
    for path, layer in factors(lora, base).items():
        try:
            # ΔW = (alpha / rank) · B · A, eq. 3 of the paper; a convolution's kernel counts as further inputs.
            change = layer.up.flatten(1) @ layer.down.flatten(1) * layer.scale
            added[f"{path}.weight"] = change.reshape(weights[f"{path}.weight"].shape)
        except RuntimeError as error:
            raise ValueError(f"{path} does not fit") from error
    return added

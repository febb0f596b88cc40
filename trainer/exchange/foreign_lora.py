"""LoRA files of other programs: the same two matrices for a layer under many names, put into ours.

kohya's scripts call a layer `lora_unet_down_blocks_0_…`, or by SDXL's original names `lora_unet_input_blocks_4_1_…`;
diffusers `unet.down_blocks.0.…`, its oldest files with `processor` in between. The matrices are `lora_down` and
`lora_up`, `lora_A` and `lora_B`, `lora.down` and `lora.up`.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from trainer.base_models.ldm_names import UNET_PREFIX, Place
from trainer.denoiser import Denoiser
from trainer.exchange.foreign_files import Tensors
from trainer.training.lora import ALPHA, DOWN, UP, file_names

MATRIX = r"[._]lora(?:_linear_layer)?[._](?P<part>down|up|mid|A|B)(?:\.default)?\.weight"
PART = re.compile(rf"(?P<layer>.+)(?:{MATRIX}|\.alpha)")
ROLES = {"A": "down", "B": "up", None: "alpha"}
OLD = [(re.compile(r"\.processor\."), "."), (re.compile(r"\.to_out$"), ".to_out.0")] + [
    (re.compile(rf"self_attn\.to_{which}$"), f"self_attn.{which}_proj") for which in ("q", "k", "v", "out")
]
PEFT_SETTINGS = "lora_adapter_metadata"  # where diffusers keeps peft's configuration of each network


def is_lora(tensors: Tensors) -> bool:
    """Whether a file holds LoRA's matrices."""
    return any((found := PART.fullmatch(name)) and found["part"] for name in tensors.shapes)


def read_lora(tensors: Tensors, denoiser: Denoiser, where: Mapping[str, Place]) -> dict[str, Tensor]:
    """The file as Darkroom names it; raises ValueError for a layer that this base model has not, or has twice.

    `where` says where weights lie in files of the original layout.
    """
    layers = _layers(tensors)
    known, names = _spellings(denoiser, where), file_names(denoiser)
    settings = json.loads(tensors.metadata.get(PEFT_SETTINGS, "{}"))
    found: dict[str, Tensor] = {}
    for layer, parts in layers.items():
        if layer not in known:
            raise ValueError(f"the base model has no layer {layer}")
        path = known[layer]
        name = names[path]
        if not {"down", "up"} <= parts.keys() or name + DOWN in found:
            raise ValueError(f"{layer} is not there whole, or twice")
        down = parts["down"]
        if "mid" in parts:  # LyCORIS' third matrix, between the two: it goes into the first
            down = torch.einsum("abhw,bi->aihw", parts["mid"].float(), down.flatten(1).float())
        rank = len(down)
        alpha = parts["alpha"].float() if "alpha" in parts else torch.tensor(_alpha(settings, path, rank))
        found |= {name + DOWN: _half(down), name + UP: _half(parts["up"]), name + ALPHA: alpha.reshape(())}
    return found


def _layers(tensors: Tensors) -> dict[str, dict[str, Tensor]]:
    """The parts of each layer, by its name in the file."""
    layers: dict[str, dict[str, Tensor]] = {}
    for name in tensors.shapes:
        if not (part := PART.fullmatch(name)):
            raise ValueError(f"{name} is no part of a LoRA")
        layer = part["layer"].removeprefix("base_model.model.")
        for old, new in OLD:
            layer = old.sub(new, layer)
        layers.setdefault(layer, {})[ROLES.get(part["part"], part["part"])] = tensors[name]
    return layers


def _spellings(denoiser: Denoiser, where: Mapping[str, Place]) -> dict[str, str]:
    """The path of each module, by all that files call it."""
    known: dict[str, str] = {}
    for path, name in file_names(denoiser).items():
        network, _, rest = path.partition(".")
        known |= {name: path, path: path}
        if network == "unet":
            known |= {rest: path, f"lora_unet_{rest.replace('.', '_')}": path}
        else:
            known[f"{network}.text_model.{rest.removeprefix('text_model.')}"] = path
        place = where.get(f"{path}.weight")
        if place and place.name.startswith(UNET_PREFIX):
            original = place.name.removeprefix(UNET_PREFIX).removesuffix(".weight")
            known[f"lora_unet_{original.replace('.', '_')}"] = path
    return known


def _alpha(settings: Mapping[str, Any], path: str, rank: int) -> float:
    """The alpha of a layer by peft's settings, which may make exceptions; without any it is the rank."""
    network, _, module = path.partition(".")
    exceptions = settings.get(f"{network}.alpha_pattern") or {}
    fits = (value for name, value in exceptions.items() if re.fullmatch(rf"(.*\.)?{name}", module))
    alpha = float(next(fits, settings.get(f"{network}.lora_alpha") or rank))
    by_root = settings.get(f"{network}.use_rslora")  # alpha counts by the root of the rank then
    return float(alpha * rank**0.5) if by_root else alpha


def _half(weight: Tensor) -> Tensor:
    """Half precision, of whatever kind it already has."""
    kept = weight if weight.dtype in (torch.float16, torch.bfloat16) else weight.to(torch.bfloat16)
    return kept.contiguous()

"""LoRA files of other programs: the same two matrices for a layer under many names, put into ours.

The matrices are `lora_down` and `lora_up`, `lora_A` and `lora_B`, or `lora.down` and `lora.up`; the base model
knows what layers are called (`ModelFiles.layer_names`), peft_config.py what may be said of them elsewhere.
"""

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from trainer.conversion.peft_config import ALPHA_MAX, RANK_MAX, PeftSettings
from trainer.dreambooth.lora import ALPHA, DOWN, UP
from trainer.models.denoiser import Denoiser
from trainer.models.diffusers_layout import some_of
from trainer.models.file_kinds import UnusableFile
from trainer.models.model_files import ModelFiles
from trainer.models.safetensors_files import SafetensorsFiles

MATRIX = r"[._]lora(?:_linear_layer)?[._](?P<part>down|up|mid|A|B)(?:\.[^.]+)?\.weight"
PART = re.compile(rf"(?P<layer>.+)(?:{MATRIX}|\.alpha)")
ROLES = {"A": "down", "B": "up", None: "alpha"}
OLD = [  # what diffusers' attention processors were called, on dotted names
    (re.compile(r"(^|\.)(?:(?:base_model\.model|_orig_mod|module)\.)+"), r"\1"),  # wrappers of peft and PyTorch
    (re.compile(r"\.processor\."), "."),
    (re.compile(r"\.to_out$"), ".to_out.0"),
    (re.compile(r"self_attn\.to_(q|k|v|out)$"), r"self_attn.\1_proj"),
]
EMBEDDING = re.compile(r"bundle_emb\.(?P<name>.+?)(?:\.(?:string_to_param|emb_params|clip_[lg]|t5).*)?")


class ParsedLora(NamedTuple):
    """Adapters, by their names in Darkroom's files, and what else was in the file."""

    adapters: dict[str, Tensor]
    embeddings: list[str]  # words that stand for embeddings, which are left out


def is_lora(tensors: SafetensorsFiles) -> bool:
    """Whether a file holds LoRA's matrices."""
    return any((found := PART.fullmatch(name)) and found["part"] for name in tensors.shapes)


def read_lora(tensors: SafetensorsFiles, denoiser: Denoiser, files: ModelFiles, beside: PeftSettings) -> ParsedLora:
    """The file as Darkroom names it; `beside` is what lies beside it, and counts where its metadata say nothing.

    Raises UnusableFile for what no base model could make sense of, and ValueError for a layer that this one has not.
    """
    layers, embeddings = _layers(tensors)
    known, names = files.layer_names(), denoiser.file_names()
    settings = PeftSettings.of_metadata(tensors.metadata) or beside
    adapters: dict[str, Tensor] = {}
    for layer, parts in layers.items():
        paths = next((known[name] for name in _flat_names(layer) if name in known), None)
        if not paths:
            raise ValueError(f"the base model has no layer {layer}")
        if not {"down", "up"} <= parts.keys() or any(names[path] + DOWN in adapters for path in paths):
            raise UnusableFile(f"{layer} is not there whole, or twice")
        down, up = _narrow(layer, parts)
        if len(up) % len(paths):
            raise ValueError(f"{layer} has {len(up)} rows, and is {len(paths)} layers in one")
        rank = len(down)
        alpha = parts["alpha"].float() if "alpha" in parts else torch.tensor(settings.alpha(paths[0], rank))
        if alpha.numel() != 1 or alpha.abs() > ALPHA_MAX:
            raise UnusableFile(f"the alpha of {layer} is no number that makes sense")
        for path, rows in zip(paths, up.chunk(len(paths)), strict=True):
            name = names[path]
            adapters |= {name + DOWN: _half(down), name + UP: _half(rows), name + ALPHA: alpha.reshape(())}
    return ParsedLora(adapters, embeddings)


def _narrow(layer: str, parts: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    """The two matrices of a layer; raises UnusableFile if they do not go together."""
    down, up = parts["down"], parts["up"]
    if down.ndim < 2 or up.ndim < 2:
        raise UnusableFile(f"{layer} is not made of matrices")
    if "mid" in parts:  # LyCORIS' third matrix, between the two: it goes into the first
        mid = parts["mid"]
        if mid.ndim != 4 or mid.shape[1] != len(down):
            raise UnusableFile(f"the three matrices of {layer} do not go together")
        down = torch.einsum("abhw,bi->aihw", mid.float(), down.flatten(1).float())
    if up.shape[1] != len(down):
        raise UnusableFile(f"the two matrices of {layer} have the ranks {len(down)} and {up.shape[1]}")
    if not 1 <= len(down) <= RANK_MAX:
        raise UnusableFile(f"{layer} has the rank {len(down)}")
    return down, up


def _layers(tensors: SafetensorsFiles) -> tuple[dict[str, dict[str, Tensor]], list[str]]:
    """The parts of each layer, by its name in the file, and names of embeddings."""
    layers: dict[str, dict[str, Tensor]] = {}
    embeddings, others = set(), []
    for name in tensors.shapes:
        if embedding := EMBEDDING.fullmatch(name):
            embeddings.add(embedding["name"])
        elif not (part := PART.fullmatch(name)):
            others.append(name)
        else:
            parts, role = layers.setdefault(part["layer"], {}), ROLES.get(part["part"], part["part"])
            if role in parts:
                raise UnusableFile(f"{part['layer']} is not there whole, or twice")
            parts[role] = tensors[name]
    if others:
        raise UnusableFile(f"{some_of(sorted(others))} {'is' if len(others) == 1 else 'are'} no part of a LoRA")
    return layers, sorted(embeddings)


def _flat_names(layer: str) -> Iterator[str]:
    """What a layer may be called in `layer_names`, rewritten as far as can be first; underscores stand for dots."""
    names = [layer]
    for old, new in OLD:
        names.append(old.sub(new, names[-1]))
    return (name.replace(".", "_") for name in reversed(names))


def _half(weight: Tensor) -> Tensor:
    """Half precision, of whatever kind it already has."""
    half = weight if weight.dtype in (torch.float16, torch.bfloat16) else weight.to(torch.bfloat16)
    return half.clone(memory_format=torch.contiguous_format)  # of its own: a file holds no tensor twice

"""Quantised weights: which storage formats are read, and which are refused by name. Without torch.

8-bit floating point is read, with or without a scale for each layer (`scale_weight` and the marker `scaled_fp8` in
ComfyUI's older files, `weight_scale` and `comfy_quant` in its newer ones). Whatever packs several weights into a byte,
or needs a table to be read, is refused: its tensors have the names of weights, but are none.
"""

import json
import math
import re
from collections.abc import Mapping
from typing import Any

FP8 = ("F8_E4M3", "F8_E5M2")
SCALE = re.compile(r"\.(scale_weight|weight_scale)$")
ACTIVATIONS = re.compile(r"\.(scale_input|input_scale)$")  # of what a layer reads, for those who multiply in fp8
MARKER = re.compile(r"(^|\.)scaled_fp8$|\.comfy_quant$")
PACKED_FLOAT = re.compile(r"F[468](_|$)")
READ_FORMATS = ("float8_e4m3fn", "float8_e5m2")  # of ComfyUI's own names for formats
FORMATS = {  # by names of tensors, the surest sign first
    re.compile(r"\.quant_state\.bitsandbytes__nf4$"): "bitsandbytes NF4",
    re.compile(r"\.quant_state\.bitsandbytes__fp4$"): "bitsandbytes FP4",
    re.compile(r"\.(absmax|quant_map|nested_absmax|nested_quant_map)$"): "bitsandbytes in 4 bits",
    re.compile(r"\.(SCB|weight_format)$"): "bitsandbytes in 8 bits",
    re.compile(r"\.(wscales|wtscale|smooth_factor)$"): "SVDQuant",
    re.compile(r"\.(qweight|qzeros|g_idx)$"): "GPTQ or AWQ",
    re.compile(r"\.weight\._(data|scale|shift)$|\._qtype$"): "optimum-quanto",
    re.compile(r":_(data|scale|q?data|zero_point)$|:qdata$"): "torchao",
    re.compile(r"\.weight_scale_2$"): "NVFP4",
    re.compile(r"\.weight_scale_inv$"): "fp8 in blocks",
    re.compile(r"\.(weight_packed|weight_shape)$"): "compressed-tensors",
}


def unreadable_format(kinds: Mapping[str, str], metadata: Mapping[str, str]) -> str:
    """The name of the format that a file is quantised in, if it is none of those that are read; empty otherwise.

    `kinds` are the tensors' data types by their names, as safetensors writes them.
    """
    for pattern, called in FORMATS.items():
        if any(pattern.search(name) for name in kinds):
            return called
    if odd := next((kind for kind in kinds.values() if PACKED_FLOAT.match(kind) and kind not in FP8), ""):
        return odd.lower()
    if unreadable := _formats_told(metadata) - {*READ_FORMATS}:
        return min(unreadable)
    weights = (kind for name, kind in kinds.items() if name.endswith((".weight", ".bias")))
    return next((_no_float(kind) for kind in weights if not kind.startswith(("F", "BF"))), "")


def _no_float(kind: str) -> str:
    bits = kind[1:]
    return f"integers of {bits} bits" if kind[0] in "IU" and bits.isdigit() else f"the data type {kind}"


def is_scale_of(scale: tuple[int, ...], weight: tuple[int, ...]) -> bool:
    """Whether a scale of this shape is one number for a weight of that shape, or one for each of its rows."""
    return math.prod(scale) == 1 or (bool(scale) and scale[:1] == weight[:1] and math.prod(scale[1:]) == 1)


def format_of_config(config: Mapping[str, Any]) -> str:
    """The same of a part in diffusers' layout, by its config.json."""
    quantisation = config.get("quantization_config")
    return (
        str(quantisation.get("quant_method", "a format that it does not name"))
        if isinstance(quantisation, Mapping)
        else ""
    )


def scales(kinds: Mapping[str, str]) -> dict[str, str]:
    """Which tensor scales which weight, by the weights' names."""
    scale_names = {}
    for name in kinds:
        weight = SCALE.sub(".weight", name)
        if weight != name and weight in kinds:
            scale_names[weight] = name
    return scale_names


def is_aside(name: str, kinds: Mapping[str, str]) -> bool:
    """Whether a tensor only tells how others are quantised: a scale with its weight, or a mark."""
    if MARKER.search(name):
        return True
    weight = ACTIVATIONS.sub(".weight", SCALE.sub(".weight", name))
    return weight != name and weight in kinds


def _formats_told(metadata: Mapping[str, str]) -> set[str]:
    """Formats that ComfyUI's metadata names."""
    try:
        metadata_formats = json.loads(metadata.get("_quantization_metadata", "{}"))
        return {str(layer["format"]) for layer in metadata_formats.get("layers", {}).values()}
    except (ValueError, AttributeError, KeyError, TypeError, RecursionError):
        return {"a format that its metadata does not name"}

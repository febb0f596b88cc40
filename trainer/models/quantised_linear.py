"""Linear layers of a frozen base model whose weights are kept in 8 bits, as int8 or float8 (e4m3).

Only weights are quantised, with a scale for each output, by its largest weight. A layer computes in the precision of
the base model: its weights are dequantised for one product, forward and again backward, and not kept in between.
Gradients flow to what goes in, and to nothing else.
"""

from typing import Any, Literal, cast

import torch
import torch.nn.functional as F  # noqa: N812 (everybody calls it so)
from torch import Tensor, nn

EightBits = Literal["int8", "float8"]
LARGEST = {"int8": 127.0, "float8": torch.finfo(torch.float8_e4m3fn).max}
SMALLEST_SCALE = 1e-12  # of outputs whose weights are all zero


class QuantisedLinear(nn.Linear):
    """A linear layer with `weight` in 8 bits, out × in, and the `scale` of each output, out × 1."""

    scale: nn.Parameter
    dtype: torch.dtype  # what it computes in

    def forward(self, x: Tensor) -> Tensor:
        """Project x, … × in."""
        return project(self, x)


def quantise(network: nn.Module, to: EightBits, device: torch.device) -> None:
    """Quantise the linear layers of a network's repeated blocks in place, one after another on `device`.

    Each goes back to where it was: all of them may be too much for the device. What is before and after the blocks is
    small, and stays as it is; so do convolutions and embeddings.
    """
    for layer in _linear_layers_of_blocks(network):
        dtype, where = layer.weight.dtype, layer.weight.device
        parts = (part.to(where) for part in quantised(layer.weight.detach().to(device), to))
        layer.weight, layer.scale = (nn.Parameter(part, requires_grad=False) for part in parts)
        layer.__class__ = QuantisedLinear
        layer.dtype = dtype  # type: ignore[assignment]


def quantised(weight: Tensor, to: EightBits) -> tuple[Tensor, Tensor]:
    """A weight, out × in, in 8 bits, and the scale of each of its rows; not finite where the row is not."""
    whole = weight.float()
    scale = whole.abs().amax(dim=1, keepdim=True).div(LARGEST[to]).clamp(min=SMALLEST_SCALE)
    whole = whole / scale
    if to == "int8":
        return whole.round().to(torch.int8), scale
    # The bytes are kept as such: peft casts adapters to whatever kind of float a layer has.
    return whole.to(torch.float8_e4m3fn).view(torch.uint8), scale


def dequantised(weight: Tensor, scale: Tensor | None, dtype: torch.dtype) -> Tensor:
    """The whole weight in `dtype`; itself if it has no scale, so that it is none of those in 8 bits."""
    if scale is None:
        return weight
    values = weight if weight.dtype is torch.int8 else weight.view(torch.float8_e4m3fn)
    return values.to(dtype).mul_(scale)


def compute_dtype(layer: nn.Linear, x: Tensor) -> torch.dtype:
    """What a layer computes in: the autocast region's precision, or outside of any that of its weights."""
    return autocast_dtype(x.device.type) or weight_dtype(layer)


def weight_dtype(layer: nn.Module) -> torch.dtype:
    """The precision of a layer's weights; of those in 8 bits what they had before."""
    dtype: Any = layer.dtype if is_quantised(layer) else layer.weight.dtype
    return cast(torch.dtype, dtype)


def stored_weight(layer: nn.Linear, dtype: torch.dtype) -> tuple[Tensor, Tensor | None]:
    """A layer's weight as `dequantised` takes it: cast to `dtype` and without a scale, unless it is in 8 bits."""
    if is_quantised(layer):
        return layer.weight, layer.scale  # type: ignore[return-value]
    return layer.weight.to(dtype), None


def is_quantised(layer: nn.Module) -> bool:
    """Whether a layer's weight is kept in 8 bits, also where it has become a layer with adapters."""
    return "scale" in layer._parameters and isinstance(layer, nn.Linear)


def project(layer: nn.Linear, x: Tensor) -> Tensor:
    """Project x, … × in, by a layer whose weight is kept in whatever way."""
    if not is_quantised(layer):
        return F.linear(x, layer.weight, layer.bias)
    dtype = compute_dtype(layer, x)
    bias = None if layer.bias is None else layer.bias.to(dtype)
    projected: Tensor = _QuantisedProjection.apply(x.to(dtype), layer.weight, layer.scale, bias)  # type: ignore[no-untyped-call]
    return projected


def autocast_dtype(device: str) -> torch.dtype | None:
    """What operations on a device are cast to in an autocast region; None outside."""
    if not torch.amp.is_autocast_available(device) or not torch.is_autocast_enabled(device):  # as on the meta device
        return None
    return torch.get_autocast_dtype(device)


class _QuantisedProjection(torch.autograd.Function):
    """y = xWᵀ + b, of which W and b do not learn: what is kept for the way back is W in 8 bits."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, scale: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(weight, scale)
        return F.linear(x, dequantised(weight, scale, x.dtype), bias)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        weight, scale = ctx.saved_tensors
        return grad.matmul(dequantised(weight, scale, grad.dtype)), None, None, None


def _linear_layers_of_blocks(network: nn.Module) -> list[nn.Linear]:
    blocks = (block for each in network.modules() if isinstance(each, nn.ModuleList) for block in each)
    layers = (layer for block in blocks for layer in block.modules() if type(layer) is nn.Linear)
    return [*dict.fromkeys(layers)]

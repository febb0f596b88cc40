"""LoRA of several trainings over one frozen network: each training has its own adapters on its own rows of a batch.

The base model's work is done for all rows at once, that of adapters for each training by itself. To learn several
adapters in one batch is what mLoRA does for language models (Ye et al. 2023, arXiv 2312.02515).
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn

from trainer.dreambooth.lora_linear import scaled
from trainer.models.denoiser import Denoiser
from trainer.models.quantised_linear import QuantisedLinear, compute_dtype, dequantised, project, stored_weight

WIDE = 64  # rows of a training from which on a product of all trainings' rows has the bits that each has alone


class LearningFactors(NamedTuple):
    """The adapter of one layer while it learns: scale · up × down is added to the layer's weight."""

    down: Tensor
    up: Tensor
    scale: float


Adapters = Mapping[str, LearningFactors]  # by the path of a layer


def adapters_of(learner: Denoiser) -> Adapters:
    """The adapters that learn in a network, the parameters themselves."""
    layers = {path: layer for path, layer in learner.named_modules() if isinstance(layer, LoraLayer)}
    return {path: _factors(layer) for path, layer in layers.items()}


def _factors(layer: Any) -> LearningFactors:
    (name,) = layer.lora_A
    return LearningFactors(layer.lora_A[name].weight, layer.lora_B[name].weight, layer.scaling[name])


class MultiLoraNetwork:
    """A base model's network, whose weights it shares, for a batch of equal parts, each with adapters of its own."""

    def __init__(self, base: Denoiser, gradient_checkpointing: bool = False) -> None:
        self.network, self.parts = base.sharing().requires_grad_(False).train(), _Parts()
        if gradient_checkpointing:
            self.network.backbone.enable_gradient_checkpointing()
        for path, module in self.network.named_modules():
            kind: Any = PARTED.get(type(module))
            if kind:
                module.__class__ = kind
                module.parts, module.path = self.parts, path

    @contextmanager
    def learning(self, adapters: Sequence[Adapters]) -> Iterator[Denoiser]:
        """For a pass there and back, whose rows belong to so many trainings, as many to each."""
        self.parts.adapters = adapters
        try:
            yield self.network
        finally:
            self.parts.adapters = ()


class _Parts:
    """Whose the parts of the batch are that is in the network."""

    adapters: Sequence[Adapters] = ()


class PartedLinear(nn.Linear):
    """A linear layer to whose output on each part of the batch the part's own adapter is added."""

    parts: _Parts
    path: str

    def forward(self, x: Tensor) -> Tensor:
        """Project x, … × width."""
        layers = [each[self.path] for each in self.parts.adapters if self.path in each]
        count = len(self.parts.adapters)
        if not layers:
            if x.numel() // x.shape[-1] >= count * WIDE:
                return project(self, x)
            return torch.cat([project(self, part) for part in x.chunk(count)])
        dtype = compute_dtype(self, x)
        own = [part.to(dtype) for layer in layers for part in (layer.down, layer.up)]
        bias = None if self.bias is None else self.bias.to(dtype)
        scales = tuple(layer.scale for layer in layers)
        weight = stored_weight(self, dtype)
        projected: Tensor = _MultiLoraFunction.apply(x.to(dtype), *weight, bias, scales, *own)  # type: ignore[no-untyped-call]
        return projected


class PartedConv2d(nn.Conv2d):
    """A convolution that sees one part of the batch at a time if that decides which kernel computes it."""

    parts: _Parts
    path: str

    def forward(self, x: Tensor) -> Tensor:
        """Convolve x, rows × channels × height × width."""
        if self.kernel_size != (1, 1):
            return super().forward(x)
        # On a CPU PyTorch has another kernel for small batches of 1 × 1.
        return torch.cat([super(PartedConv2d, self).forward(part) for part in x.chunk(len(self.parts.adapters))])


PARTED = {nn.Linear: PartedLinear, QuantisedLinear: PartedLinear, nn.Conv2d: PartedConv2d}


class _MultiLoraFunction(torch.autograd.Function):
    """`_LoraLinearFunction` for several parts of a batch, each with its own A and B; W and b are theirs in common."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        stored: Tensor,
        row_scale: Tensor | None,
        bias: Tensor | None,
        scales: tuple[float, ...],
        *own: Tensor,
    ) -> Tensor:
        rows, count = x.reshape(-1, x.shape[-1]), len(scales)
        weight = dequantised(stored, row_scale, x.dtype)
        wide = _by_part(rows, count, lambda part: _affine(part, weight, bias))
        narrows = []
        for k, (part, out) in enumerate(zip(rows.chunk(count), wide.chunk(count), strict=True)):
            narrow = scaled(part.mm(own[2 * k].t()), scales[k])
            out.addmm_(narrow, own[2 * k + 1].t())
            narrows.append(narrow)
        ctx.save_for_backward(rows, stored, row_scale, *narrows, *own)
        ctx.scales = scales
        return wide.view(*x.shape[:-1], -1)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        rows, stored, row_scale, *rest = ctx.saved_tensors
        count = len(ctx.scales)
        narrows, own = rest[:count], rest[count:]
        wide = grad.reshape(-1, grad.shape[-1])
        of_x = None
        if ctx.needs_input_grad[0]:
            weight = dequantised(stored, row_scale, grad.dtype)
            of_x = _by_part(wide, count, lambda part: part.mm(weight))
        gradients: list[Tensor] = []
        for k, (part, seen) in enumerate(zip(wide.chunk(count), rows.chunk(count), strict=True)):
            back = scaled(part.mm(own[2 * k + 1]), ctx.scales[k])
            if of_x is not None:
                of_x.chunk(count)[k].addmm_(back, own[2 * k])
            gradients += [back.t().mm(seen), part.t().mm(narrows[k])]
        return None if of_x is None else of_x.view(*grad.shape[:-1], -1), None, None, None, None, *gradients


def _affine(rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return rows.mm(weight.t()) if bias is None else torch.addmm(bias, rows, weight.t())


def _by_part(rows: Tensor, count: int, product: Any) -> Tensor:
    """A product of all rows at once, or of one part after another where few rows would have another kernel."""
    if len(rows) >= count * WIDE:
        computed: Tensor = product(rows)
        return computed
    return torch.cat([product(part) for part in rows.chunk(count)])

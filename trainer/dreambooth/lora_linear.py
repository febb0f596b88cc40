"""A projection and its LoRA adapter as one operation, which keeps less and computes the same as peft's own layer.

peft's layer adds the adapter as four more operations, each with a gradient of its own. Written out by hand they need
no copies as large as the output, and half as many operations: at batches of two it is their number that takes time.
"""

from typing import Any

import torch
from peft.tuners.lora import Linear
from torch import Tensor

from trainer.models.quantised_linear import compute_dtype, dequantised, stored_weight


class LoraLinear(Linear):  # type: ignore[misc]
    """peft's layer of one adapter, which is never merged, switched off or mixed with others while it learns."""

    def forward(self, x: Tensor, *args: Any, **options: Any) -> Tensor:
        """Project x, … × width, and add what the adapter has learned."""
        (name,) = self.active_adapters
        layer = self.base_layer
        parts = [layer.bias, self.lora_A[name].weight, self.lora_B[name].weight]
        dtype = compute_dtype(layer, x)
        parts = [None if part is None else part.to(dtype) for part in parts]
        weight = stored_weight(layer, dtype)
        projected: Tensor = _LoraLinearFunction.apply(x.to(dtype), *weight, *parts, self.scaling[name])  # type: ignore[no-untyped-call]
        return projected


class _LoraLinearFunction(torch.autograd.Function):
    """y = xWᵀ + b + s(xAᵀ)Bᵀ (Hu et al. 2021, eq. 3), of which W and b do not learn."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        stored: Tensor,
        row_scale: Tensor | None,
        bias: Tensor | None,
        down: Tensor,
        up: Tensor,
        scale: float,
    ) -> Tensor:
        rows = x.reshape(-1, x.shape[-1])
        # Scaled while it is narrow: rank numbers for each row instead of as many as the output has.
        narrow = scaled(rows.mm(down.t()), scale)
        weight = dequantised(stored, row_scale, x.dtype)
        wide = rows.mm(weight.t()) if bias is None else torch.addmm(bias, rows, weight.t())
        ctx.save_for_backward(rows, narrow, stored, row_scale, down, up)
        ctx.scale = scale
        return wide.addmm_(narrow, up.t()).view(*x.shape[:-1], -1)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        rows, narrow, stored, row_scale, down, up = ctx.saved_tensors
        wide = grad.reshape(-1, grad.shape[-1])
        back = scaled(wide.mm(up), ctx.scale)
        # With g the gradient of y: ∂x = gW + s(gB)A, ∂A = s(gB)ᵀx, ∂B = gᵀ(s xAᵀ). W and b are frozen.
        of_x = None
        if ctx.needs_input_grad[0]:
            weight = dequantised(stored, row_scale, grad.dtype)
            of_x = wide.mm(weight).addmm_(back, down).view(*grad.shape[:-1], -1)
        return of_x, None, None, None, back.t().mm(rows), wide.t().mm(narrow), None


def scaled(narrow: Tensor, scale: float) -> Tensor:
    """`narrow` itself, multiplied in place; by 1, as where alpha is the rank, costs nothing."""
    return narrow if scale == 1 else narrow.mul_(scale)

"""Small operations of diffusion transformers with their gradients written out: fewer passes over memory, fewer copies.

Around attention, autograd makes some thirty operations of a norm and a rotation, and fills whole tensors with zeros for
the gradient of each half of a gate. Weights of norms get no gradient here: on these models only adapters learn.
"""

from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 (everybody calls it so)
from torch import Tensor


def rms_norm(x: Tensor, weight: Tensor, epsilon: float, turns: Tensor | None = None) -> Tensor:
    """RMSNorm (Zhang & Sennrich 2019, arXiv 1910.07467) of the last dimension, computed in float32.

    With `turns`, complex numbers for its pairs, these are then rotated by their places (RoPE, Su et al. 2021, arXiv
    2104.09864).
    """
    normed: Tensor = _RmsNorm.apply(x, weight, turns, epsilon)  # type: ignore[no-untyped-call]
    return normed


def turns_of(cosines: Tensor, sines: Tensor) -> Tensor:
    """Rotations as complex numbers, tokens × 1 × pairs, of what diffusers has twice for each pair, tokens × width."""
    return torch.complex(cosines[:, ::2], sines[:, ::2]).unsqueeze(1)


def swiglu(both: Tensor) -> Tensor:
    """SwiGLU (Shazeer 2020, arXiv 2002.05202): the first half of the last dimension opens the gate for the second."""
    gated: Tensor = _SwiGlu.apply(both)  # type: ignore[no-untyped-call]
    return gated


def gated(gate: Tensor, up: Tensor) -> Tensor:
    """SwiGLU of two projections: the first opens the gate for the second."""
    opened: Tensor = _Gated.apply(gate, up)  # type: ignore[no-untyped-call]
    return opened


def attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Tensor:
    """Scaled dot-product attention of b × n × heads × width: b × n × all heads' width."""
    query, key, value = (part.transpose(1, 2) for part in (query, key, value))
    return F.scaled_dot_product_attention(query, key, value, attn_mask=mask).transpose(1, 2).flatten(2)


def _as_complex(x: Tensor) -> Tensor:
    return torch.view_as_complex(torch.unflatten(x, -1, (-1, 2)))


class _RmsNorm(torch.autograd.Function):
    """y = w · x / rms(x), whose pairs are turned: ∂x = r(g − x r² mean(g · x)) with r = 1 / rms(x), g = w · ∂y."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, turns: Tensor | None, epsilon: float) -> Tensor:
        whole = x.float()
        inverse = torch.linalg.vector_norm(whole, dim=-1, keepdim=True).square_().div_(x.shape[-1]).add_(epsilon)
        inverse = inverse.rsqrt_()
        normed: Tensor = (whole * inverse).mul_(weight)
        if turns is not None:
            _as_complex(normed).mul_(turns)
        ctx.save_for_backward(x, weight, turns, inverse)
        return normed.to(x.dtype)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, turns, inverse = ctx.saved_tensors
        whole = x.float()
        if turns is None:
            back = grad.float() * weight
        else:
            grad = grad.float() if grad.stride(-1) == 1 else grad.float().contiguous()
            back = torch.view_as_real(_as_complex(grad) * turns.conj()).flatten(-2).mul_(weight)
        along = (back * whole).sum(-1, keepdim=True).mul_(inverse**3).div_(x.shape[-1])
        return back.mul_(inverse).addcmul_(whole, along, value=-1).to(x.dtype), None, None, None


class _SwiGlu(torch.autograd.Function):
    """y = silu(gate) · up."""

    @staticmethod
    def forward(ctx: Any, both: Tensor) -> Tensor:
        gate, up = both.chunk(2, dim=-1)
        ctx.save_for_backward(both)
        return F.silu(gate).mul_(up)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (both,) = ctx.saved_tensors
        back = torch.empty(both.shape, dtype=both.dtype, device=both.device)
        (gate, up), (of_gate, of_up) = both.chunk(2, dim=-1), back.chunk(2, dim=-1)
        torch.ops.aten.silu.out(gate, out=of_up)
        of_up.mul_(grad)
        torch.ops.aten.silu_backward.grad_input(grad * up, gate, grad_input=of_gate)
        return back


class _Gated(torch.autograd.Function):
    """The same of two tensors; silu(gate) is computed once more on the way back, rather than kept."""

    @staticmethod
    def forward(ctx: Any, gate: Tensor, up: Tensor) -> Tensor:
        ctx.save_for_backward(gate, up)
        return F.silu(gate).mul_(up)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
        gate, up = ctx.saved_tensors
        return torch.ops.aten.silu_backward(grad * up, gate), F.silu(gate).mul_(grad)

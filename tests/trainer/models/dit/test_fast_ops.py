"""Operations with gradients of their own: the same values and gradients as autograd makes of the formula."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 (everybody calls it so)
from diffusers.models.embeddings import apply_rotary_emb
from torch import Tensor

from trainer.models.dit.fast_ops import gated, rms_norm, swiglu, turns_of

ROWS, TOKENS, HEADS, WIDTH = 2, 5, 3, 8
EPSILON = 1e-5


def both_ways(x: Tensor, ours: Callable[[Tensor], Tensor], theirs: Callable[[Tensor], Tensor]) -> None:
    """Compare values and gradients, of an output that is looked at in another memory format, too."""
    made = []
    for how in (ours, theirs):
        leaf = x.detach().clone().requires_grad_()
        out = how(leaf)
        out.transpose(1, 2).reshape(ROWS, -1).cumsum(1).square().sum().backward()
        assert leaf.grad is not None
        made.append((out.detach(), leaf.grad))
    for mine, other in zip(*made, strict=True):
        assert mine.dtype == other.dtype
        torch.testing.assert_close(mine, other, rtol=1e-5, atol=1e-5 * float(other.abs().max()))


@pytest.fixture
def weight() -> Tensor:
    torch.manual_seed(0)
    return torch.rand(WIDTH) + 0.5


def test_norm(weight: Tensor) -> None:
    x = torch.randn(ROWS, TOKENS, WIDTH)
    both_ways(x, lambda x: rms_norm(x, weight, EPSILON), lambda x: F.rms_norm(x, (WIDTH,), weight, EPSILON))


def test_norm_and_rotation(weight: Tensor) -> None:
    angles = torch.randn(TOKENS, WIDTH // 2)
    rotations = tuple(part.repeat_interleave(2, dim=1) for part in (angles.cos(), angles.sin()))
    turns = turns_of(*rotations)

    def heads(x: Tensor) -> Tensor:  # as they come out of one projection with others
        return x[..., WIDTH:-WIDTH].unflatten(-1, (HEADS, WIDTH))

    both_ways(
        torch.randn(ROWS, TOKENS, (HEADS + 2) * WIDTH),
        lambda x: rms_norm(heads(x), weight, EPSILON, turns),
        lambda x: apply_rotary_emb(F.rms_norm(heads(x), (WIDTH,), weight, EPSILON), rotations, sequence_dim=1),
    )


def test_gate() -> None:
    def formula(x: Tensor) -> Tensor:
        gate, up = x.chunk(2, dim=-1)
        return F.silu(gate) * up

    x = torch.randn(ROWS, TOKENS, 2 * WIDTH + 3)
    both_ways(x, lambda x: swiglu(x[..., 3:]), lambda x: formula(x[..., 3:]))
    both_ways(x[..., 3:], lambda x: gated(*x.chunk(2, dim=-1)), formula)


def test_half_precision_is_rounded_once(weight: Tensor) -> None:
    x = torch.randn(ROWS, TOKENS, WIDTH).bfloat16()
    exact = F.rms_norm(x.float(), (WIDTH,), weight.bfloat16().float(), EPSILON)
    assert torch.equal(rms_norm(x, weight.bfloat16(), EPSILON), exact.bfloat16())


def test_the_gradient_may_be_one_number_for_all(weight: Tensor) -> None:
    turns = torch.polar(torch.ones(TOKENS, 1, WIDTH // 2), torch.randn(TOKENS, 1, WIDTH // 2))
    x = torch.randn(ROWS, TOKENS, HEADS, WIDTH, requires_grad=True)
    rms_norm(x, weight, EPSILON, turns).sum().backward()
    assert x.grad is not None and x.grad.isfinite().all()

"""Buffers for weights in the machine's memory: powers of two, no overlaps, and little that is lost."""

from itertools import pairwise

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from trainer.models.host_memory import ALIGNMENT_BYTES, move_to_host, placed

SIZES = st.lists(st.integers(0, 5000), max_size=30)


@given(SIZES, st.sampled_from([64, 1024, 4096]))
def test_weights_lie_side_by_side_in_buffers_of_powers_of_two(sizes: list[int], largest: int) -> None:
    places, buffers = placed(sizes, largest)
    assert all(size & (size - 1) == 0 for size in buffers)
    taken = sorted((place.buffer, place.start, place.start + size) for place, size in zip(places, sizes, strict=True))
    for buffer, start, end in taken:
        assert start % ALIGNMENT_BYTES == 0 and end <= buffers[buffer]
    for (buffer, _, end), (following, start, _) in pairwise(taken):
        assert buffer < following or end <= start


def test_little_is_lost_with_the_weights_of_a_large_transformer() -> None:
    """FLUX.2 [klein] 4B in bfloat16: twenty blocks of two large weights each, and five of many."""
    width, mlp = 3072, 9216
    single = [width * (3 * width + 2 * mlp), (width + mlp) * width, 128, 128]
    double = [width * width] * 8 + [width * 2 * mlp, mlp * width] * 2 + [128] * 4
    sizes = [2 * count for count in 20 * single + 5 * double]
    _, buffers = placed(sizes)
    alone = sum(1 << (size - 1).bit_length() for size in sizes)
    assert sum(buffers) < 1.1 * sum(sizes) < alone


def test_weights_keep_values_types_and_memory_formats() -> None:
    torch.manual_seed(0)
    weights = [
        nn.Parameter(torch.randn(3, 5)),
        nn.Parameter(torch.randn(4, 3, 2, 2).to(memory_format=torch.channels_last)),
        nn.Parameter(torch.randn(7).bfloat16()),
        nn.Parameter(torch.tensor(2.0)),
        nn.Parameter(torch.randint(-9, 9, (5, 3), dtype=torch.int8), requires_grad=False),
    ]
    before = [weight.detach().clone() for weight in weights]
    assert move_to_host(weights, pinned=False) == 512
    for weight, was in zip(weights, before, strict=True):
        assert torch.equal(weight, was) and weight.stride() == was.stride() and weight.dtype == was.dtype
    assert len({weight.untyped_storage().data_ptr() for weight in weights}) == 1

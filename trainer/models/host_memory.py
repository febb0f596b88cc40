"""The machine's memory for weights that wait there for their turn on a device: few large buffers.

PyTorch rounds each request for pinned memory up to a power of two (ATen/core/CachingHostAllocator.h), which may be
nearly twice what a weight takes. So buffers are powers of two, and weights lie in them side by side.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

BUFFER_BYTES = 2**29  # of each but the last; more where a single weight is larger
ALIGNMENT_BYTES = 64  # of where a weight begins


class Place(NamedTuple):
    """Where a weight lies: in which buffer, and from which byte on."""

    buffer: int
    start: int


def placed(sizes: Sequence[int], largest: int = BUFFER_BYTES) -> tuple[list[Place], list[int]]:
    """Places for weights of so many bytes, each in the first buffer with room for it; and the buffers' sizes."""
    places = [Place(0, 0)] * len(sizes)
    ends: list[int] = []
    largest = max([largest, *map(_power_of_two, sizes)])
    for each in sorted(range(len(sizes)), key=lambda k: -sizes[k]):
        size = -(-sizes[each] // ALIGNMENT_BYTES) * ALIGNMENT_BYTES
        buffer = next((k for k, end in enumerate(ends) if end + size <= largest), len(ends))
        ends += [0] * (buffer == len(ends))
        places[each] = Place(buffer, ends[buffer])
        ends[buffer] += size
    return places, [_power_of_two(end) for end in ends]


def move_to_host(weights: Sequence[nn.Parameter], pinned: bool) -> int:
    """Move weights, in place, into buffers in the machine's memory; return the bytes of these. Meta weights stay so."""
    places, sizes = placed([weight.nbytes for weight in weights])
    where = "meta" if any(weight.is_meta for weight in weights) else "cpu"
    buffers = [torch.empty(size, dtype=torch.uint8, device=where, pin_memory=pinned) for size in sizes]
    for weight, place in zip(weights, places, strict=True):
        weight.data = _view(buffers[place.buffer], place.start, weight).copy_(weight.data)
    return sum(sizes)


def _view(buffer: Tensor, start: int, like: Tensor) -> Tensor:
    """A part of a buffer as a tensor of the same type, shape and memory format."""
    return buffer[start : start + like.nbytes].view(like.dtype).as_strided(like.shape, like.stride())


def _power_of_two(size: int) -> int:
    """The smallest one that is not less than `size`."""
    return 1 << max(0, size - 1).bit_length()

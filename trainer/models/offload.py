"""Offloading: the weights of a network's blocks lie in the machine's memory, and come onto the device for their turn.

The next block is copied while one computes. In which order they come is learned from the pass before, forward and
backward. A block computes with copies, and autograd keeps these as long as it needs them: so a training should use
gradient checkpointing, by which a block is brought once more for its way back. Networks that share weights share the
copies.
"""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from trainer.models.host_memory import move_to_host

Copies = dict[int, Tensor]  # on the device, by the identities of weights beside it


class HostWeights:
    """The weights of one network's blocks in the machine's memory, pinned where the device is a GPU."""

    def __init__(self, blocks: Collection[nn.Module], device: torch.device) -> None:
        """Take the blocks' weights off the device, in place."""
        self.device = device
        self._blocks: list[list[nn.Parameter]] = [[*block.parameters()] for block in blocks]
        weights = {id(weight): weight for block in self._blocks for weight in block}
        pinned = device.type == "cuda"
        self.size_bytes = move_to_host([*weights.values()], pinned)
        self._ahead: tuple[int, Copies] | None = None
        self._followed: dict[tuple[int, int], int] = {}  # which block came after two others
        self._last = (-1, -1)
        self._copying: Any = torch.cuda.Stream(device) if pinned else None  # type: ignore[no-untyped-call]
        self._computed: Any = None  # an event: the last block has been computed

    def __deepcopy__(self, memo: dict[int, Any]) -> "HostWeights":
        return self

    @contextmanager
    def on_device(self, number: int, block: nn.Module) -> Iterator[None]:
        """Have `block`, or one that shares its weights, compute with copies of them on the device."""
        copies = self._take(number)
        swapped = [
            (module._parameters, name, weight)
            for module in block.modules()
            for name, weight in module._parameters.items()
            if id(weight) in copies
        ]
        for parameters, name, weight in swapped:
            parameters[name] = copies[id(weight)]  # type: ignore[assignment]
        try:
            yield
        finally:
            for parameters, name, weight in swapped:
                parameters[name] = weight
            if self._copying:
                self._computed = torch.cuda.current_stream(self.device).record_event()

    def _take(self, number: int) -> Copies:
        """The copies of a block; those of the block that came next in the pass before are begun."""
        if self._computed:
            self._computed.synchronize()  # else Python would run ahead, and bring all blocks at once
        ahead, self._ahead = self._ahead, None
        copies = ahead[1] if ahead and ahead[0] == number else self._copied(number)
        if self._copying:
            stream = torch.cuda.current_stream(self.device)
            stream.wait_stream(self._copying)
            for copy in copies.values():
                copy.record_stream(stream)
        self._followed[self._last] = number
        self._last = (self._last[1], number)
        following = self._followed.get(self._last)
        if following is not None:
            self._ahead = following, copies if following == number else self._copied(following)
        return copies

    def _copied(self, number: int) -> Copies:
        if not self._copying:
            return {id(weight): weight.detach().to(self.device, copy=True) for weight in self._blocks[number]}
        with torch.cuda.stream(self._copying):
            return {id(weight): weight.detach().to(self.device, non_blocking=True) for weight in self._blocks[number]}


class OffloadedBlock:
    """What a block's class gets in front: its weights are on the device while it computes."""

    host: HostWeights
    number: int

    def forward(self, *args: Any, **options: Any) -> Any:
        """Compute as ever."""
        with self.host.on_device(self.number, self):  # type: ignore[arg-type]
            return super().forward(*args, **options)  # type: ignore[misc]


def offload(network: nn.Module, blocks: Collection[nn.Module], device: torch.device) -> None:
    """Leave the weights of a network's blocks in the machine's memory, in place, and move all others onto a device."""
    host = HostWeights(blocks, device)
    for number, block in enumerate(blocks):
        block.__class__ = _offloaded(type(block))  # type: ignore[arg-type]
        block.host, block.number = host, number  # type: ignore[assignment]
    beside = {id(weight) for block in blocks for weight in block.parameters()}
    for module in network.modules():
        for weight in module._parameters.values():
            if weight is not None and id(weight) not in beside:
                weight.data = weight.data.to(device)
        for name, buffer in module._buffers.items():
            module._buffers[name] = None if buffer is None else buffer.to(device)


@cache
def _offloaded(kind: type[nn.Module]) -> type[nn.Module]:
    return type(kind.__name__, (OffloadedBlock, kind), {})

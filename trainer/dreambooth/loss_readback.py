"""Loss readback: losses are copied from the device some steps late, so that no step waits for them.

To ask for a step's loss is to wait until the step is done, and a GPU that was waited for has nothing to do until the
next step is laid out before it. So its losses come in copies of their own, and each is read when others are under way.
"""

from collections import deque
from collections.abc import Iterator

import torch
from torch import Tensor

from trainer.dreambooth.train import Training

LATE = 2  # steps that a GPU has before it while a loss is waited for


def readback_delay(device: torch.device) -> int:
    """The delay of losses in steps: none on a CPU, whose steps are done when they are reported."""
    return LATE if device.type == "cuda" else 0


class LossReadback:
    """A queue of losses on the device; yields each step's loss once, in order."""

    def __init__(self, late: int) -> None:
        self.late = late
        self._coming: deque[tuple[int, Tensor, torch.cuda.Event | None]] = deque()

    def after(self, training: Training) -> Iterator[tuple[int, float]]:
        """Start copying the newest step's loss; yield steps and losses that can be read without waiting."""
        step = training.taken
        loss = training.losses[step - 1, 0].to("cpu", non_blocking=True, copy=True)
        there = None
        if training.base.device.type == "cuda":
            there = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
            there.record()
        self._coming.append((step, loss, there))
        yield from self._read(self.late)

    def rest(self) -> Iterator[tuple[int, float]]:
        """Yield those that are still to come, where something else waits for the newest step anyway."""
        yield from self._read(0)

    def _read(self, late: int) -> Iterator[tuple[int, float]]:
        while len(self._coming) > late:
            step, loss, there = self._coming.popleft()
            if there:
                there.synchronize()
            yield step, float(loss)

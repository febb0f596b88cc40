"""The losses of a training as they are told while it runs: a little late where there is a GPU.

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
    """By how many steps losses are late: a CPU has done a step when it is told of it."""
    return LATE if device.type == "cuda" else 0


class LossReadback:
    """Each step's loss, once, in their order."""

    def __init__(self, late: int) -> None:
        self.late = late
        self._coming: deque[tuple[int, Tensor, torch.cuda.Event | None]] = deque()

    def after(self, training: Training) -> Iterator[tuple[int, float]]:
        """Have the newest step's loss copied; yield steps and losses that are not too new to be read."""
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

"""How many pictures are drawn together: as many as memory allows, and as measured speed says.

Larger batches use wide GPUs better, and fall out of the caches of CPUs, so which is quickest is found out on the job:
each size is tried for some passes when it first comes up, from `BATCH` on, while growing has paid. The memory of a
pixel is measured where the device can tell, and estimated before.
"""

from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import inf
from statistics import median

import psutil
import torch

from trainer.batch_limit import BatchLimit
from trainer.diffusion.sampling import BATCH
from trainer.models.base import BaseModel

SIZES = (4, 8, 16)
SHARED = 8  # pictures in a pass that several requests share, where nothing is measured
TRIES, LATEST = 3, 9  # passes by which a size is known, and of which the median counts: some are disturbed
PAYS = 0.98  # of the time of a picture: a larger batch that takes more than that is not worth its memory
SHARE = 0.5  # of the free memory


class PictureBatches:
    """Measures batches of one engine, by the size of pictures."""

    def __init__(self, base: BaseModel, free_bytes: Callable[[torch.device], int] | None = None) -> None:
        self.base, self._free_bytes = base, free_bytes or free_memory_bytes
        self._limit = defaultdict[int, BatchLimit](lambda: BatchLimit(max(SIZES)))  # of a pass, by side
        self._pixel_bytes = 0.0  # of a pass, of each pixel of its pictures, where it was measured
        self._passes_s = defaultdict[tuple[int, int], deque[float]](lambda: deque(maxlen=LATEST))  # by side, pictures

    def next(self, left: int, side_px: int) -> int:
        """How many of the pictures that are left to draw next, all of a side."""
        fitting = [size for size in SIZES if size == BATCH or size <= self._fits(side_px)]
        best = BATCH
        for size in fitting:
            picture_s = self._pass_s(size, side_px) / size
            if picture_s == inf:
                best = size if size <= left else best  # a size counts once it was full
                break
            if size == BATCH or picture_s < PAYS * self._pass_s(best, side_px) / best:
                best = size
            else:
                break  # growing has not paid
        return min(left, best)

    def pass_took(self, pictures: int, seconds: float, side_px: int) -> None:
        """Note how long a denoising step of so many pictures in one pass took."""
        self._passes_s[side_px, pictures].append(seconds)

    def _pass_s(self, pictures: int, side_px: int) -> float:
        """How long a pass of so many takes; infinity if that is unknown."""
        took_s = self._passes_s.get((side_px, pictures), ())
        return median(took_s) if len(took_s) >= TRIES else inf

    def times_longer(self, pictures: int, more: int, side_px: int) -> float:
        """How many times as long as one of `pictures` a pass of `more` takes; infinity if that is unknown."""
        alone_s = self._pass_s(pictures, side_px)
        if alone_s == inf:
            return inf
        # One of more pictures mostly takes as long at least, so it bounds those that nobody has measured.
        larger_s = (self._pass_s(count, side) for side, count in self._passes_s if side == side_px and count > more)
        known_s = self._pass_s(more, side_px)
        return (known_s if known_s < inf else min(larger_s, default=inf)) / alone_s

    def took_memory(self, pictures: int, side_px: int, size_bytes: int) -> None:
        """Note what a pass over so many pictures took for itself at most."""
        self._pixel_bytes = max(self._pixel_bytes, size_bytes / (pictures * side_px**2))

    def most(self, side_px: int, adapters_bytes: int = 0) -> int:
        """How many pictures one pass may hold, of several requests as well, each with adapters of such a size."""
        best, fitting = max(BATCH, self.next(max(SIZES), side_px)), self._fits(side_px, adapters_bytes)
        return min(max(best, SHARED), self._limit[side_px].current, max(BATCH, fitting))

    def shrink(self, count: int, side_px: int) -> None:
        """Note that so many in one pass were too many, for now."""
        self._limit[side_px].lower(count // 2)

    def _fits(self, side_px: int, adapters_bytes: int = 0) -> int:
        """How many pictures are sure to fit into memory, as was measured, or else two rows of a pass for each."""
        two_rows_bytes = 2 * self.base.denoiser.row_bytes((side_px // self.base.latent_px) ** 2)
        picture_bytes = (self._pixel_bytes * side_px**2 or two_rows_bytes) + adapters_bytes
        return int(SHARE * self._free_bytes(self.base.device) / picture_bytes)

    @contextmanager
    def measuring(self, pictures: int, side_px: int) -> Iterator[None]:
        """Measure the memory of a pass over so many pictures, where the device can tell."""
        device = self.base.device
        if device.type != "cuda":
            yield
            return
        torch.cuda.reset_peak_memory_stats(device)
        before_bytes = torch.cuda.memory_allocated(device)
        yield
        self.took_memory(pictures, side_px, torch.cuda.max_memory_allocated(device) - before_bytes)


def free_memory_bytes(device: torch.device, cached: bool = True) -> int:
    """What tensors may still take on a device; without what is `cached`, tensors that stay for long."""
    if device.type != "cuda":
        return int(psutil.virtual_memory().available)
    # What PyTorch has reserved and not handed out is free for what lasts a step; the driver does not see it so.
    held = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device) if cached else 0
    return int(torch.cuda.mem_get_info(device)[0] + held)

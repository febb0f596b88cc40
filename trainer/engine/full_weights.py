"""Subjects of full trainings, ready to be drawn with: of each only the weights that differ from the base model's.

They are kept by their size, the least recently used going from the device to the machine's memory, and from there: the
file is at hand. To draw with one, a network is pointed at its weights; nothing is copied that is on the device.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from trainer.diffusion.batch_sizes import free_memory_bytes
from trainer.dreambooth.weights import Learned, added_up, changed, is_lora_file, read_learned
from trainer.models.base import BaseModel
from trainer.models.denoiser import Denoiser

SHARE = 0.25  # of the memory that is free at first, on the device and beside it
READ_AHEAD = 8  # files at most that wait for their turn

Files = tuple[str, ...]  # whose weights are added up
Weights = dict[str, Tensor]  # those that differ, by name


class _Ahead(NamedTuple):
    """A file that is read before its turn."""

    size_bytes: int
    weights: Future[Learned | None]


@dataclass
class _Network:
    """A network whose weights are those of `files`, or nobody's yet."""

    denoiser: Denoiser
    files: Files = ()
    users: int = 0  # drawings under way: it must not change beneath them


class FullWeights:
    """A cache of weights by the files that they come from."""

    def __init__(
        self, base: BaseModel, limit_bytes: int | None = None, is_training: Callable[[], bool] = lambda: False
    ) -> None:
        """`limit_bytes` is what they may take on the device, and once more beside it; one is always kept.

        While `is_training` they leave what its steps take, which is cached between two of them.
        """
        self.base, self._given_bytes, self._limit_bytes = base, limit_bytes, limit_bytes
        self.is_training = is_training
        self._on_device: OrderedDict[Files, Weights] = OrderedDict()
        self._beside: OrderedDict[Files, Weights] = OrderedDict()  # in pinned memory, where the device is a GPU
        self._networks: list[_Network] = []
        self._reader = ThreadPoolExecutor(1, "read-ahead")
        self._ahead: OrderedDict[str, _Ahead] = OrderedDict()

    @property
    def resident(self) -> int:
        """How many subjects' weights, or sums of several, are in memory."""
        return len({*self._on_device, *self._beside})

    def read_ahead(self, *files: str) -> None:
        """Begin to read files of full trainings that will be drawn with, as many as there is memory for."""
        known = {*self._ahead, *(path for each in (*self._on_device, *self._beside) for path in each)}
        for path in (path for path in files if path not in known and Path(path).exists()):
            size_bytes = Path(path).stat().st_size
            self._ahead[path] = _Ahead(size_bytes, self._reader.submit(self._read_full, Path(path)))
        limit_bytes = SHARE * free_memory_bytes(torch.device("cpu")) if self._ahead else 0
        while len(self._ahead) > READ_AHEAD or (len(self._ahead) > 1 and self._ahead_bytes > limit_bytes):
            self._ahead.popitem(last=False)  # nobody came for it, or else it is read when its turn comes

    @property
    def _ahead_bytes(self) -> int:
        return sum(each.size_bytes for each in self._ahead.values())

    def has_room(self, files: Files) -> bool:
        """Whether these can be drawn with beside those that are drawn with at the moment."""
        used = {each.files for each in self._networks if each.users} - {files}
        if not used or any(each.files == files for each in self._networks):
            return True
        sizes_bytes = [_size_bytes(self._on_device.get(each, {})) for each in used]
        return sum(sizes_bytes) + max(sizes_bytes) <= self._limit()  # one more, as large as the largest

    @contextmanager
    def loaded(self, files: Files) -> Iterator[Denoiser]:
        """The base model with these weights in place of its own, which stay so meanwhile.

        Raises ValueError if they do not fit, NotFinite if they are not all numbers.
        """
        network = next((each for each in self._networks if each.files == files), None)
        if network is None:
            weights = self._weights(files)
            network = next((each for each in self._networks if not each.users), None) or self._another()
            self._point(network, files, weights)
        elif files in self._on_device:
            self._on_device.move_to_end(files)
        network.users += 1
        try:
            yield network.denoiser
        finally:
            network.users -= 1

    def let_go(self) -> None:
        """Keep no weights on the device but those that are drawn with."""
        self._networks = [each for each in self._networks if each.users]
        used = {each.files for each in self._networks}
        self._on_device = OrderedDict((files, each) for files, each in self._on_device.items() if files in used)
        self._ahead.clear()
        self._limit_bytes = self._given_bytes  # measured anew: whoever needs the room has it by then

    def drop_forgotten(self) -> bool:
        """Drop weights whose file is gone; return whether there were any."""
        known = {*self._on_device, *self._beside, *(each.files for each in self._networks)}
        gone = {files for files in known if not all(Path(path).exists() for path in files)}
        before = len(self._on_device) + len(self._beside) + len(self._networks)
        for files in gone:
            self._on_device.pop(files, None)
            self._beside.pop(files, None)
        self._networks = [each for each in self._networks if each.users or each.files not in gone]
        for path in [path for path in self._ahead if not Path(path).exists()]:
            del self._ahead[path]
        return len(self._on_device) + len(self._beside) + len(self._networks) < before

    def _another(self) -> _Network:
        self._networks.append(_Network(self.base.denoiser.with_own_parameters()))
        return self._networks[-1]

    def _point(self, network: _Network, files: Files, weights: Weights) -> None:
        """Have a network compute with these weights, and the base model's for the rest."""
        network.files = files
        own = self.base.denoiser.state_dict()
        for name, tensor in network.denoiser.state_dict(keep_vars=True).items():
            tensor.data = weights.get(name, own[name])

    def _weights(self, files: Files) -> Weights:
        """The weights of files on the device, read where they are nowhere else."""
        if files not in self._on_device:
            if files in self._beside:
                moved = {
                    name: each.to(self.base.device, non_blocking=True) for name, each in self._beside[files].items()
                }
                self._beside.move_to_end(files)
                self._on_device[files] = moved
            else:
                learned, own = added_up([self._read(path) for path in files]), self.base.denoiser.state_dict()
                self._on_device[files] = {name: changed(own[name], change) for name, change in learned.items()}
            self._make_room()
        self._on_device.move_to_end(files)
        return self._on_device[files]

    def _read_full(self, path: Path) -> Learned | None:
        return None if is_lora_file(path) else read_learned(path, self.base.denoiser)

    def _read(self, path: str) -> Learned:
        ahead = self._ahead.pop(path, None)
        return (ahead.weights.result() if ahead else None) or read_learned(Path(path), self.base.denoiser)

    def _limit(self) -> int:
        """How many bytes may be on the device, beside the one that always may."""
        if self._limit_bytes is None:
            self._limit_bytes = int(SHARE * free_memory_bytes(self.base.device))
        if not self.is_training():
            return self._limit_bytes
        held_bytes = sum(map(_size_bytes, self._on_device.values()))
        left_bytes = SHARE * (held_bytes + free_memory_bytes(self.base.device, cached=False))
        return min(self._limit_bytes, int(left_bytes))

    def _make_room(self) -> None:
        """Move what was used least recently off the device, and drop it beside, until the rest fits."""
        limit_bytes: float = self._limit()
        used = {each.files for each in self._networks if each.users}
        for files in [files for files in [*self._on_device][:-1] if files not in used]:
            if sum(map(_size_bytes, self._on_device.values())) <= limit_bytes:
                break
            weights = self._on_device.pop(files)
            self._networks = [each for each in self._networks if each.files != files]
            if self.base.device.type == "cuda" and files not in self._beside:
                self._beside[files] = {name: each.cpu().pin_memory() for name, each in weights.items()}
        if self._beside:
            limit_bytes = min(self._limit_bytes or 0, SHARE * free_memory_bytes(torch.device("cpu")))
        while sum(map(_size_bytes, self._beside.values())) > limit_bytes:
            self._beside.popitem(last=False)


def _size_bytes(weights: Weights) -> int:
    return sum(each.nbytes for each in weights.values())

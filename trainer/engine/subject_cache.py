"""Which subjects' weights the engine has at hand to draw with."""

from collections import Counter, OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from storage.errors import UserError
from trainer.diffusion.row_adapters import Adapter, Drawer, RowNetwork
from trainer.dreambooth.weights import load_adapter, load_learned
from trainer.models.base import BaseModel
from trainer.models.denoiser import Denoiser

ADAPTERS_BYTES = 2**30  # of LoRA that stay resident; least recently used ones go first
MISFIT = "The subject was learned on another base model, and does not fit this one. Retrain it to have it here, too."


@dataclass
class _Loaded:
    weights: tuple[str, ...]  # paths of all that is in it
    denoiser: Denoiser
    users: int = 0  # drawings under way: it must not change beneath them


class SubjectCache:
    """Keeps LoRA as adapters beside the base model, many at a time, and one copy with weights of a full training."""

    def __init__(self, base: BaseModel) -> None:
        self.base = base
        self._last: _Loaded | None = None
        self._rows: RowNetwork | None = None
        self._adapters: OrderedDict[str, Adapter | None] = OrderedDict()  # None: no adapters of linear layers
        self._users: Counter[str] = Counter()  # drawings under way, by path

    @contextmanager
    def loaded(self, *weights: str) -> Iterator[Drawer]:
        """The base model with the weights of subjects, which stay as they are meanwhile.

        Raises UserError if they do not fit.
        """
        self._users.update(weights)
        try:
            adapters = [self._adapter(path) for path in weights]
            linear = [adapter for adapter in adapters if adapter]
            if len(linear) == len(adapters):
                self._rows = self._rows or RowNetwork(self.base.denoiser)
                yield self._rows.adapted(*linear)
            else:
                with self._merged(weights) as denoiser:
                    yield denoiser
        finally:
            self._users.subtract(weights)
            if self._rows and not any(self._users.values()):
                self._rows.selection.forget()  # which may hold what was forgotten meanwhile

    def _adapter(self, path: str) -> Adapter | None:
        """A subject's LoRA, or None where its weights are something else."""
        if path not in self._adapters:
            try:
                self._adapters[path] = load_adapter(Path(path), self.base.denoiser)
            except ValueError as error:
                raise UserError(MISFIT) from error
            self._make_room()
        self._adapters.move_to_end(path)
        return self._adapters[path]

    def _make_room(self) -> None:
        """Drop adapters that nobody draws with, the least recently used first, until the rest fits."""
        for path in [path for path, adapter in self._adapters.items() if adapter and not self._users[path]]:
            if sum(adapter.size_bytes for adapter in self._adapters.values() if adapter) <= ADAPTERS_BYTES:
                break
            del self._adapters[path]

    @contextmanager
    def _merged(self, weights: tuple[str, ...]) -> Iterator[Denoiser]:
        """A copy of the base model's denoiser with these weights in place of its own."""
        if self._last is None or self._last.weights != weights:
            self._last = self._load(weights)
        loaded = self._last
        loaded.users += 1
        try:
            yield loaded.denoiser
        finally:
            loaded.users -= 1

    def _load(self, weights: tuple[str, ...]) -> _Loaded:
        """Load weights, where there is one that nobody draws with into the copy that is there."""
        spare = self._last if self._last and not self._last.users else None
        denoiser = spare.denoiser if spare else self.base.denoiser.copy()
        self._last = None
        try:
            first, *others = map(Path, weights)
            load_learned(first, denoiser, self.base.denoiser, *others)
        except ValueError as error:
            raise UserError(MISFIT) from error
        return _Loaded(weights, denoiser)

    def let_go(self) -> None:
        """Keep no subject's weights but those that are drawn with."""
        self._last = None
        self._drop([path for path in self._adapters if not self._users[path]])

    def drop_forgotten(self) -> None:
        """Let go of weights whose file is gone: the worker removes those of subjects that are forgotten."""
        gone = [path for path in self._adapters if not Path(path).exists()]
        stale = self._last is not None and not all(Path(path).exists() for path in self._last.weights)
        if stale:
            self._last = None
        if gone or stale:
            self._drop(gone)

    def _drop(self, paths: list[str]) -> None:
        for path in paths:
            del self._adapters[path]
        if self._rows:
            self._rows.selection.forget()
        torch.cuda.empty_cache()

"""Which subject's weights the engine has loaded to draw with."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from storage.errors import UserError
from trainer.dreambooth.weights import load_learned
from trainer.models.base import BaseModel
from trainer.models.denoiser import Denoiser

MISFIT = "The subject was learned on another base model, and does not fit this one. Retrain it to have it here, too."


@dataclass
class _Loaded:
    weights: tuple[str, ...]  # paths of all that is in it
    denoiser: Denoiser
    users: int = 0  # drawings under way: it must not change beneath them


class SubjectCache:
    """Keeps a denoiser with the weights of the subject, or the several subjects, that was asked for last."""

    def __init__(self, base: BaseModel) -> None:
        self.base = base
        self._last: _Loaded | None = None

    @contextmanager
    def loaded(self, *weights: str) -> Iterator[Denoiser]:
        """The base model's denoiser, or a copy with the weights of subjects, which stays as it is meanwhile.

        Raises UserError if they do not fit.
        """
        if not weights:
            yield self.base.denoiser
            return
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
        self.let_go()
        try:
            first, *others = map(Path, weights)
            load_learned(first, denoiser, self.base.denoiser, *others)
        except ValueError as error:
            raise UserError(MISFIT) from error
        return _Loaded(weights, denoiser)

    def let_go(self) -> None:
        """Keep no subject's weights."""
        self._last = None

    def drop_forgotten(self) -> None:
        """Let go of weights whose file is gone: the worker removes those of subjects that are forgotten."""
        if self._last and not all(Path(path).exists() for path in self._last.weights):
            self.let_go()
            torch.cuda.empty_cache()

"""Which subjects' weights the engine has at hand to draw with."""

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import torch

from storage.errors import UserError
from trainer.diffusion.batch_sizes import free_memory_bytes
from trainer.diffusion.row_adapters import Adapter, Drawer, RowNetwork
from trainer.dreambooth.weights import load_adapter
from trainer.engine.full_weights import SHARE, FullWeights
from trainer.models.base import BaseModel
from trainer.models.denoiser import Denoiser

ADAPTERS_BYTES = 2**30  # of LoRA that stay resident at most; least recently used ones go first
MISFIT = "The subject was learned on another base model, and does not fit this one. Retrain it to have it here, too."


IN_PART = (
    "What was learned changes more than LoRA on linear layers does. That cannot be drawn here, where the base model is "
    "quantised, or lies in the machine's memory in part (DARKROOM_BASE_WEIGHTS, DARKROOM_OFFLOAD). Retrain the subject "
    "with method=lora to have it here, too."
)


class SubjectCache:
    """Keeps LoRA as adapters beside the base model, and weights of full trainings, many at a time."""

    def __init__(
        self, base: BaseModel, limit_bytes: int | None = None, is_training: Callable[[], bool] = lambda: False
    ) -> None:
        """`limit_bytes` and `is_training` as `FullWeights`."""
        self.base = base
        self._full = FullWeights(base, limit_bytes, is_training)
        self._rows: RowNetwork | None = None
        self._adapters: OrderedDict[str, Adapter | None] = OrderedDict()  # None: no adapters of linear layers
        self._users: Counter[str] = Counter()  # drawings under way, by path

    @property
    def resident(self) -> int:
        """How many subjects' weights are in memory."""
        return sum(adapter is not None for adapter in self._adapters.values()) + self._full.resident

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
                with self._whole(weights) as denoiser:
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
        limit_bytes = min(ADAPTERS_BYTES, SHARE * (free_memory_bytes(self.base.device) + self._adapters_bytes))
        for path in [path for path, adapter in self._adapters.items() if adapter and not self._users[path]]:
            if self._adapters_bytes <= limit_bytes:
                break
            del self._adapters[path]

    @property
    def _adapters_bytes(self) -> int:
        return sum(adapter.size_bytes for adapter in self._adapters.values() if adapter)

    @contextmanager
    def _whole(self, weights: tuple[str, ...]) -> Iterator[Denoiser]:
        """The base model's network with other weights; raises UserError where it is quantised or offloaded."""
        if not self.base.placement.is_plain:
            raise UserError(IN_PART)
        with ExitStack() as stack:
            try:
                denoiser = stack.enter_context(self._full.loaded(weights))
            except ValueError as error:
                raise UserError(MISFIT) from error
            yield denoiser

    def read_ahead(self, *weights: str) -> None:
        """Begin to read the files of subjects who will be drawn, unless they are at hand."""
        self._full.read_ahead(*(path for path in weights if not self._adapters.get(path)))

    def has_room(self, *weights: str) -> bool:
        """Whether weights of a full training have room beside those that are drawn with."""
        return self._full.has_room(weights)

    def let_go_full(self) -> None:
        """Keep no weights of full trainings but those that are drawn with."""
        self._full.let_go()

    def let_go(self) -> None:
        """Keep no subject's weights but those that are drawn with."""
        self._full.let_go()
        self._drop([path for path in self._adapters if not self._users[path]])

    def drop_forgotten(self) -> None:
        """Let go of weights whose file is gone: the worker removes those of subjects that are forgotten."""
        gone = [path for path in self._adapters if not Path(path).exists()]
        if self._full.drop_forgotten() or gone:
            self._drop(gone)

    def _drop(self, paths: list[str]) -> None:
        for path in paths:
            del self._adapters[path]
        if self._rows:
            self._rows.selection.forget()
        torch.cuda.empty_cache()

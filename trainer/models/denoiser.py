"""What draws, whatever its family: a network that predicts, and the text encoders by whose reading it is guided."""

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class TextEmbeddings:
    """What guides pictures: what the text encoders make of n prompts, and photos that these refer to."""

    tokens: Tensor  # n × tokens × width
    pooled: Tensor | None = None  # n × width, in families that guide by the meaning of the whole prompt, too
    mask: Tensor | None = None  # n × tokens, true where there is a word, in families that pass over padding
    references: tuple[Tensor, ...] = ()  # normalised latents of each photo, n × c × h × w
    kept: dict[Any, Any] | None = None  # what passes make of the tokens alone, where the next ones are to find it

    def spread(self, rows: int) -> "TextEmbeddings":
        """Each prompt's reading for as many neighbouring rows as it takes to have `rows` of them."""
        times = rows // len(self.tokens)
        if times == 1:
            return self
        return self._each(lambda part: part.repeat_interleave(times, dim=0))

    def keeping(self) -> "TextEmbeddings":
        """The same for several passes with the same weights, of which only the first one projects the tokens."""
        return replace(self, kept={})

    def of(self, rows: Tensor | slice) -> "TextEmbeddings":
        """The readings of these prompts, in this order."""
        return self._each(lambda part: part[rows])

    def referring_to(self, photos: Sequence[Tensor]) -> "TextEmbeddings":
        """The same with photos, 1 × c × h × w each, that all of the prompts refer to."""
        rows = len(self.tokens)
        return replace(self, references=tuple(photo.expand(rows, -1, -1, -1) for photo in photos))

    def with_zeros_first(self) -> "TextEmbeddings":
        """The same with zeros for what was made of the first prompt."""
        return self._each(lambda part: torch.cat([torch.zeros_like(part[:1]), part[1:]]))

    def with_first_for_each(self) -> "TextEmbeddings":
        """The first prompt's reading once for each of the others, before these."""
        times = len(self.tokens) - 1
        if times == 1:
            return self
        return self._each(lambda part: torch.cat([part[:1].expand(times, *part.shape[1:]), part[1:]]))

    def to(self, dtype: torch.dtype) -> "TextEmbeddings":
        """The same in another precision."""
        pooled = None if self.pooled is None else self.pooled.to(dtype)
        references = tuple(photo.to(dtype) for photo in self.references)
        return TextEmbeddings(self.tokens.to(dtype), pooled, self.mask, references)

    def tensors(self) -> Iterator[Tensor]:
        """Its parts, as `with_tensors` takes them."""
        return (part for part in (self.tokens, self.pooled, self.mask, *self.references) if part is not None)

    def with_tensors(self, tensors: Sequence[Tensor]) -> "TextEmbeddings":
        """The same parts with other content."""
        parts = iter(tensors)
        return self._each(lambda _: next(parts))

    def _each(self, change: Callable[[Tensor], Tensor]) -> "TextEmbeddings":
        tokens = change(self.tokens)  # in the order of `tensors`
        pooled, mask = (None if part is None else change(part) for part in (self.pooled, self.mask))
        return TextEmbeddings(tokens, pooled, mask, tuple(map(change, self.references)))


def joined(readings: Sequence[TextEmbeddings]) -> TextEmbeddings:
    """Readings of prompts one after another, all of the same shape."""
    columns = zip(*(reading.tensors() for reading in readings), strict=True)
    return readings[0].with_tensors([torch.cat(column) for column in columns])


class PromptReader(Protocol):
    """Whatever reads prompts."""

    def read(self, ids: Sequence[Tensor]) -> TextEmbeddings:
        """Read n prompts, as `BaseModel.token_ids` gives them."""


Text = TextEmbeddings | Sequence[Tensor]  # prompts read, or still to be read: tensors of n rows, as `read` takes them


def rows_of(text: Text, rows: Tensor | slice) -> Text:
    """These of the prompts, in this order."""
    return text.of(rows) if isinstance(text, TextEmbeddings) else [ids[rows] for ids in text]


class Denoiser(nn.Module, ABC):
    """All that DreamBooth trains. A family says what it is made of; names of weights begin with those of its parts."""

    block_kinds: ClassVar[tuple[type[nn.Module], ...]]  # gathered one at a time by sharded training

    rowless: ClassVar[tuple[str, ...]] = ()  # beginnings of names of layers that see all rows of a pass run together
    backbone_part: ClassVar[str]  # what diffusers' layout calls the network that predicts
    has_idle_layers: bool = False  # in text encoders: a part whose weights get no gradient

    @property
    @abstractmethod
    def backbone(self) -> Any:
        """The network that predicts, one of diffusers'."""

    @property
    @abstractmethod
    def text_encoders(self) -> list[Any]:
        """The text encoders that may learn, each one of transformers'."""

    @abstractmethod
    def read(self, ids: Sequence[Tensor]) -> TextEmbeddings:
        """Read n prompts, as `BaseModel.token_ids` gives them."""

    @abstractmethod
    def forward(self, noisy: Tensor, t: Tensor, text: Text) -> Tensor:
        """Predict in latents, b × c × h × w, at times `t` of the noise schedule; prompts read, or still to be read.

        What is predicted is what `NoiseProcess.target` wants of it; packing, positions, sign and scale of time are
        nobody else's business. Each prompt guides as many neighbouring rows as come to it. What is predicted has the
        latents' precision, whatever the weights have.
        """

    @abstractmethod
    def empty_ids(self, prompts: int, device: torch.device | str) -> list[Tensor]:
        """Token ids of so many prompts without content: what `read` takes, in its shapes."""

    @abstractmethod
    def row_bytes(self, latents: int) -> int:
        """About how much memory one row of so many latents takes in a pass that keeps nothing for later."""

    @abstractmethod
    def adapter_targets(self, text: bool) -> list[tuple[nn.Module, list[str]]]:
        """Networks that get LoRA's adapters, and the ends of the names of their layers; text encoders if `text`."""

    @abstractmethod
    def file_names(self) -> dict[str, str]:
        """What a subject's LoRA calls each module, by its path; without dots."""

    @property
    def dtype(self) -> torch.dtype:
        """What the network that predicts computes in."""
        dtype: torch.dtype = next(self.backbone.parameters()).dtype
        return dtype

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        # The first weight is before the blocks, whose weights may be quantised, or lie elsewhere until their turn.
        device: torch.device = next(self.backbone.parameters()).device
        return device

    def copy(self) -> "Denoiser":
        """A copy that can be changed without changing this one."""
        return copy.deepcopy(self)

    def with_own_parameters(self) -> "Denoiser":
        """The same weights through parameters of its own, whose `data` may be put elsewhere."""
        memo: dict[int, Any] = {id(buffer): buffer.detach() for buffer in self.buffers()}
        memo |= {id(weight): nn.Parameter(weight.data, requires_grad=False) for weight in self.parameters()}
        return copy.deepcopy(self, memo)

    def sharing(self) -> "Denoiser":
        """The same weights in modules of their own, so that adapters can be put into them."""
        memo: dict[int, Any] = {id(tensor): tensor for tensor in (*self.parameters(), *self.buffers())}
        return copy.deepcopy(self, memo)

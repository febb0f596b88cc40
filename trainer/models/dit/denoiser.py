"""A diffusion transformer and the language model by which it reads, which stays as it is."""

import copy
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from trainer.models.denoiser import Denoiser, Text, TextEmbeddings

PROMPT_TOKENS = 512
TIMES = 1000  # of the schedule, from nothing but noise down to none
ACTIVATIONS = 24  # of a token's width that are held at once in a pass, about


class DitDenoiser(Denoiser):
    """Weights are named `transformer.…` and `text_encoder.…`; copies share the text encoder."""

    backbone_part = "transformer"
    patch: ClassVar[int] = 1  # latents in a token of a picture, each way
    targets: ClassVar[tuple[str, ...]]  # ends of the names of the layers that get LoRA

    def __init__(self, transformer: Any, text_encoder: Any) -> None:
        super().__init__()
        self.transformer, self.text_encoder = transformer, text_encoder

    @property
    @abstractmethod
    def width(self) -> int:
        """Of the transformer's states."""

    @property
    @abstractmethod
    def text_width(self) -> int:
        """Numbers by which a token of a prompt is read."""

    @abstractmethod
    def read_states(self, tokens: Tensor, mask: Tensor) -> TextEmbeddings:
        """What the text encoder makes of tokens, of which `mask` says which are words; n × tokens each."""

    @abstractmethod
    def velocity(self, noisy: Tensor, sigma: Tensor, reading: TextEmbeddings) -> Tensor:
        """Predict noise − picture, b × c × h × w, for as many readings; sigma, b, is 1 where there is but noise."""

    @property
    def backbone(self) -> Any:
        """The transformer."""
        return self.transformer

    @property
    def text_encoders(self) -> list[Any]:
        """None that learns."""
        return []

    @torch.no_grad()
    def read(self, ids: Sequence[Tensor]) -> TextEmbeddings:
        """Read prompts by their tokens and which of these are words, n × tokens each."""
        tokens, mask = ids
        if tokens.is_meta:  # a language model cannot be rehearsed: its masks ask for content
            empty = torch.empty(len(tokens), PROMPT_TOKENS, self.text_width, device="meta")
            return TextEmbeddings(empty, mask=mask[:, :PROMPT_TOKENS].bool())
        return self.read_states(tokens, mask)

    def forward(self, noisy: Tensor, t: Tensor, text: Text) -> Tensor:
        """Predict the velocity, noise − picture."""
        reading = (text if isinstance(text, TextEmbeddings) else self.read(text)).spread(len(noisy))
        sigma = t.to(noisy.dtype).expand(len(noisy)) / TIMES
        return self.velocity(noisy.to(self.dtype), sigma, reading.to(self.dtype)).to(noisy.dtype)

    def empty_ids(self, prompts: int, device: torch.device | str) -> list[Tensor]:
        """See `Denoiser`."""
        return [torch.empty(prompts, PROMPT_TOKENS, dtype=torch.long, device=device) for _ in range(2)]

    def row_bytes(self, latents: int) -> int:
        """The states of a row's tokens, those of the prompt among them."""
        tokens = latents // self.patch**2 + PROMPT_TOKENS
        return ACTIVATIONS * self.width * tokens * self.dtype.itemsize

    def adapter_targets(self, text: bool) -> list[tuple[nn.Module, list[str]]]:
        """Layers of the transformer alone."""
        return [(self.transformer, [*self.targets])]

    def file_names(self) -> dict[str, str]:
        """Ours alone, since other programs read no such names of these families: see `DitFiles.lora_file`."""
        paths = (path for path, _ in self.named_modules() if path.startswith("transformer."))
        return {path: f"lora_{path.replace('.', '_')}" for path in paths}

    def copy(self) -> "DitDenoiser":
        """A copy of the transformer; the text encoder, which stays as it is, is shared."""
        return copy.deepcopy(self, {id(self.text_encoder): self.text_encoder})

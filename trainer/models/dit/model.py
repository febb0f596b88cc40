"""A diffusion transformer, a language model that reads prompts as a chat, and an autoencoder as a base model."""

import re
from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from torch import Tensor
from transformers import AutoTokenizer

from trainer.models.base import BaseModel
from trainer.models.diffusers_layout import settings_read
from trainer.models.dit.denoiser import PROMPT_TOKENS, DitDenoiser
from trainer.models.load_weights import check_part, read_part, shapes_only
from trainer.models.placement import Placement
from trainer.models.sources import ModelSource
from trainer.noise.flow import FlowMatching, Shift

NETWORKS = ("transformer", "text_encoder", "vae")
SHORT_WORD = "Ġ[a-z]{3,4}"  # as a token, after a space


@dataclass(eq=False)
class DitModel(BaseModel):
    """Its parts, frozen."""

    denoiser: DitDenoiser
    vae: Any
    tokenizer: Any

    denoiser_kind: ClassVar[type[DitDenoiser]]
    called: ClassVar[str]  # the family, in sentences
    thinks: ClassVar[bool] = False  # whether the language model is asked to think first

    @staticmethod
    @abstractmethod
    def empty(folder: Path, part: str) -> Any:
        """A network without content, by its settings."""

    @classmethod
    def denoiser_of(cls, folder: Path, transformer: Any, text_encoder: Any) -> DitDenoiser:
        """The denoiser of these networks."""
        return cls.denoiser_kind(transformer, text_encoder)

    @staticmethod
    @abstractmethod
    def shift(folder: Path) -> Shift:
        """How times are moved to noise, where the schedule's settings leave that to the size."""

    # ── pictures ──────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def image_px(self) -> int:
        """See `BaseModel`."""
        return int(self.vae.config.sample_size)

    @property
    def latent_channels(self) -> int:
        """See `BaseModel`."""
        return int(self.vae.config.latent_channels)

    @property
    def size_step_px(self) -> int:
        """Whole tokens."""
        return self.latent_px * self.denoiser.patch

    @property
    def drawn_step_px(self) -> int:
        """Whole tokens."""
        return self.size_step_px

    @contextmanager
    def in_tiles(self) -> Iterator[None]:
        """See `BaseModel`."""
        vae = self.vae
        halvings = len(vae.config.block_out_channels) - 1
        vae.tile_sample_min_size, vae.tile_latent_min_size = self.image_px, self.image_px // 2**halvings
        vae.enable_tiling()
        try:
            yield
        finally:
            vae.disable_tiling()

    # ── prompts ───────────────────────────────────────────────────────────────────────────────────────────────────

    def message(self, text: str) -> str:
        """A prompt as the language model is asked it."""
        how = {"tokenize": False, "add_generation_prompt": True, "enable_thinking": self.thinks}
        message: str = self.tokenizer.apply_chat_template([{"role": "user", "content": text}], **how)
        return message

    def token_ids(self, texts: list[str]) -> list[Tensor]:
        """Tokens, and which of them are words: n × 512 each."""
        how = {"padding": "max_length", "truncation": True, "max_length": PROMPT_TOKENS, "return_tensors": "pt"}
        tokens = self.tokenizer([self.message(text) for text in texts], **how)
        return [tokens.input_ids.to(self.device), tokens.attention_mask.to(self.device)]

    @property
    def prompt_tokens_max(self) -> int:
        """Tokens that a message may have before its end is cut off."""
        return PROMPT_TOKENS

    def unread(self, text: str) -> str:
        """See `BaseModel`."""
        before = self.message(text).partition(text)[0] if text else ""
        left = self.prompt_tokens_max - len(self.tokenizer(before, verbose=False).input_ids)
        rest: str = self.tokenizer.decode(self.tokenizer(text, verbose=False).input_ids[left:])
        return rest.strip()

    def short_words(self) -> list[str]:
        """A byte-pair vocabulary is ordered by frequency, the rarest last."""
        by_id = sorted(self.tokenizer.get_vocab().items(), key=lambda item: -item[1])
        return [token[1:] for token, _ in by_id if re.fullmatch(SHORT_WORD, token)]

    def meanings(self, texts: list[str]) -> Tensor:
        """The last token has seen all of the prompt, and nothing of the padding, which is left out."""
        tokens, mask = self.token_ids(texts)
        readings: dict[int, Tensor] = {}
        for length in {*mask.sum(1).tolist()}:  # texts of one length are read together
            rows = (mask.sum(1) == length).nonzero().flatten()
            words = mask[rows[0]].bool()
            read = self.denoiser.read([tokens[rows][:, words], mask[rows][:, words]]).tokens[:, -1]
            readings |= zip(rows.tolist(), read, strict=True)
        return torch.stack([readings[row] for row in range(len(texts))])

    # ── files ─────────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def parts(self) -> dict[str, Any]:
        """See `BaseModel`."""
        return {"transformer": self.denoiser.transformer, "vae": self.vae, "text_encoder": self.denoiser.text_encoder}

    @classmethod
    def check_weights(cls, source: ModelSource, dtype: torch.dtype) -> None:
        """See `Family`."""
        for part, network in cls.skeleton(source.folder, dtype).parts.items():
            check_part(source, part, network)

    @classmethod
    def load(cls, source: ModelSource, placement: Placement) -> Self:
        """Load all parts."""

        def read(part: str, dtype: torch.dtype = placement.dtype) -> Any:
            return read_part(source, part, partial(cls.empty, source.folder, part), dtype)

        tokenizer = AutoTokenizer.from_pretrained(source.folder / "tokenizer", local_files_only=True)
        transformer = placement.backbone(read("transformer"), cls.denoiser_kind.block_kinds)
        text_encoder = placement.reader(read("text_encoder"))
        denoiser = cls.denoiser_of(source.folder, transformer, text_encoder).eval()
        vae = read("vae", torch.float32).to(placement.device).eval().requires_grad_(False)
        return cls.of(source, denoiser, vae, placement.device, tokenizer)

    def twin(self, source: ModelSource, placement: Placement) -> Self:
        """See `BaseModel`."""
        empty = partial(self.empty, source.folder, "transformer")
        transformer = read_part(source, "transformer", empty, placement.dtype)
        transformer = placement.backbone(transformer, self.denoiser_kind.block_kinds)
        denoiser = self.denoiser_of(source.folder, transformer, self.denoiser.text_encoder)
        return self.of(source, denoiser.eval().requires_grad_(False), self.vae, self.device, self.tokenizer)

    @classmethod
    def skeleton(cls, folder: Path, dtype: torch.dtype) -> Self:
        """The same without content, by the settings in a folder; raises SetupError if these make no model."""
        with settings_read(folder, cls.called), shapes_only():
            transformer, text_encoder, vae = (cls.empty(folder, part) for part in NETWORKS)
        denoiser = cls.denoiser_of(folder, transformer.to(dtype), text_encoder.to(dtype)).eval().requires_grad_(False)
        source = ModelSource(f"The base model in {folder}", folder, ())
        return cls.of(source, denoiser, vae.eval().requires_grad_(False), torch.device("meta"), None)

    @classmethod
    def of(cls, source: ModelSource, denoiser: DitDenoiser, vae: Any, device: torch.device, tokenizer: Any) -> Self:
        """The model of these parts."""
        scheduler = FlowMatchEulerDiscreteScheduler.from_pretrained(source.folder / "scheduler")
        return cls(source, denoiser, FlowMatching(scheduler, cls.shift(source.folder)), device, vae, tokenizer)

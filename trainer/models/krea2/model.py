"""A Krea 2 as a base model: the latents of Qwen-Image's autoencoder, and prompts as a description of a picture."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKLQwenImage, Krea2Transformer2DModel
from torch import Tensor
from transformers import Qwen3VLConfig, Qwen3VLModel

from trainer.models.darkroom_json import drawing_of
from trainer.models.diffusers_layout import INDEX, SCHEDULE, config_of
from trainer.models.dit.denoiser import PROMPT_TOKENS
from trainer.models.dit.model import DitModel
from trainer.models.krea2.denoiser import BEFORE_TOKENS, Krea2Denoiser
from trainer.models.krea2.family import KREA2
from trainer.models.krea2.model_files import Krea2Files
from trainer.noise.flow import Shift, linear_shift

IMAGE_PX = 1024
LAYERS = tuple(range(2, 36, 3))  # of the language model that are read where the index does not say
SHIFT_OF_TURBO = 1.15
# How it was trained: diffusers, pipelines/krea2/pipeline_krea2.py
BEFORE = (
    "<|im_start|>system\nDescribe the image by detailing the color, shape, size, texture, quantity, text, "
    "spatial relationships of the objects and background:<|im_end|>\n<|im_start|>user\n"
)
AFTER, AFTER_TOKENS = "<|im_end|>\n<|im_start|>assistant\n", 5


@dataclass(eq=False)
class Krea2(DitModel):
    """Its parts, frozen."""

    denoiser_kind = Krea2Denoiser
    called = KREA2.name

    @property
    def image_px(self) -> int:
        """Its autoencoder does not say."""
        return self._image_px

    @cached_property
    def _image_px(self) -> int:
        return drawing_of(self.folder).size or IMAGE_PX

    @property
    def latent_px(self) -> int:
        """See `BaseModel`."""
        return int(2 ** len(self.vae.config.temperal_downsample))

    @property
    def latent_channels(self) -> int:
        """See `BaseModel`."""
        return int(self.vae.config.z_dim)

    def encode(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """As a film of one frame."""
        latents = self.vae.encode(pixels.to(self.device).unsqueeze(2)).latent_dist
        return latents.mean.squeeze(2), latents.std.squeeze(2)

    def normalised(self, latents: Tensor) -> Tensor:
        """Each channel by its own mean and deviation."""
        mean, deviation = self._statistics()
        return (latents - mean) / deviation

    def decode(self, latents: Tensor) -> Tensor:
        """See `BaseModel`."""
        mean, deviation = self._statistics()
        pixels: Tensor = self.vae.decode((latents * deviation + mean).unsqueeze(2)).sample
        return pixels[:, :, 0]

    def _statistics(self) -> tuple[Tensor, Tensor]:
        config = self.vae.config
        mean, deviation = (torch.tensor(each, device=self.device) for each in (config.latents_mean, config.latents_std))
        return mean.view(1, -1, 1, 1), deviation.view(1, -1, 1, 1)

    @contextmanager
    def in_tiles(self) -> Iterator[None]:
        """See `BaseModel`."""
        self.vae.enable_tiling()
        try:
            yield
        finally:
            self.vae.use_tiling = False

    def message(self, text: str) -> str:
        """What comes before the padding."""
        return BEFORE + text

    @property
    def prompt_tokens_max(self) -> int:
        """See `DitModel`."""
        return PROMPT_TOKENS + BEFORE_TOKENS - AFTER_TOKENS

    def token_ids(self, texts: list[str]) -> list[Tensor]:
        """Tokens, and which of them are words: n × (34 + 512) each, the end of the message behind the padding."""
        how = {
            "padding": "max_length",
            "truncation": True,
            "return_tensors": "pt",
            "max_length": self.prompt_tokens_max,
        }
        parts = (self.tokenizer([self.message(text) for text in texts], **how), self._end(len(texts)))
        ids, masks = zip(*((part.input_ids, part.attention_mask) for part in parts), strict=True)
        return [torch.cat(ids, dim=1).to(self.device), torch.cat(masks, dim=1).to(self.device)]

    def _end(self, prompts: int) -> Any:
        return self.tokenizer([AFTER] * prompts, return_tensors="pt")

    def files(self) -> Krea2Files:
        """See `BaseModel`."""
        return Krea2Files(self)

    @classmethod
    def denoiser_of(cls, folder: Path, transformer: Any, text_encoder: Any) -> Krea2Denoiser:
        """See `DitModel`."""
        layers = config_of(folder, INDEX).get("text_encoder_select_layers") or LAYERS
        return Krea2Denoiser(transformer, text_encoder, tuple(layers))

    @staticmethod
    def shift(folder: Path) -> Shift:
        """By the number of tokens, or the same for all sizes where it is distilled."""
        if config_of(folder, INDEX).get("is_distilled"):
            return lambda latents, steps: SHIFT_OF_TURBO
        usual = {"max_image_seq_len": 6400, **config_of(folder, SCHEDULE)}
        return partial(linear_shift, usual, Krea2Denoiser.patch**2)

    @staticmethod
    def empty(folder: Path, part: str) -> Any:
        """See `DitModel`."""
        if part == "text_encoder":
            return Qwen3VLModel(Qwen3VLConfig.from_pretrained(folder / part))
        kind = {"transformer": Krea2Transformer2DModel, "vae": AutoencoderKLQwenImage}[part]
        return kind.from_config(kind.load_config(folder / part))

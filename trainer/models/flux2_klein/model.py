"""A FLUX.2 [klein] as a base model: latents in patches of 2 × 2, normalised by the statistics of a batch norm."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKLFlux2, Flux2Transformer2DModel
from diffusers.pipelines.flux2.pipeline_flux2_klein import compute_empirical_mu
from PIL import Image
from torch import Tensor
from torch.nn.functional import pixel_shuffle, pixel_unshuffle
from transformers import Qwen3Config, Qwen3ForCausalLM

from trainer.models.diffusers_layout import INDEX, config_of
from trainer.models.dit.model import DitModel
from trainer.models.flux2_klein.denoiser import Flux2KleinDenoiser
from trainer.models.flux2_klein.family import FLUX2_KLEIN
from trainer.models.flux2_klein.model_files import Flux2KleinFiles
from trainer.noise.flow import Shift

PATCH = 2
REFERENCE_PX = 1024  # side of a square with as many pixels as a reference has at most


@dataclass(eq=False)
class Flux2Klein(DitModel):
    """Its parts, frozen."""

    denoiser_kind = Flux2KleinDenoiser
    called = FLUX2_KLEIN.name

    @property
    def latent_px(self) -> int:
        """A patch of two of the autoencoder's latents, each of which halves a picture between any two of its levels."""
        return int(2 ** len(self.vae.config.block_out_channels))

    @property
    def latent_channels(self) -> int:
        """Those of a patch."""
        return int(PATCH**2 * self.vae.config.latent_channels)

    def encode(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """See `BaseModel`."""
        latents = self.vae.encode(pixels.to(self.device)).latent_dist
        return pixel_unshuffle(latents.mean, PATCH), pixel_unshuffle(latents.std, PATCH)

    def normalised(self, latents: Tensor) -> Tensor:
        """Each channel of a patch by its own mean and deviation."""
        mean, deviation = self._statistics()
        return (latents - mean) / deviation

    def as_reference(self, photo: Image.Image) -> Image.Image:
        """See `BaseModel`; as the pipeline does: a megapixel at most, and the middle of what makes whole latents."""
        share = min(1.0, (REFERENCE_PX**2 / (photo.width * photo.height)) ** 0.5)
        if share < 1:
            sides = (int(photo.width * share), int(photo.height * share))
            photo = photo.resize(sides, Image.Resampling.LANCZOS)
        width, height = (max(1, side // self.latent_px) * self.latent_px for side in photo.size)
        left, top = (photo.width - width) // 2, (photo.height - height) // 2
        return photo.crop((left, top, left + width, top + height))

    def decode(self, latents: Tensor) -> Tensor:
        """See `BaseModel`."""
        mean, deviation = self._statistics()
        pixels: Tensor = self.vae.decode(pixel_shuffle(latents * deviation + mean, PATCH)).sample
        return pixels

    def _statistics(self) -> tuple[Tensor, Tensor]:
        norm, epsilon = self.vae.bn, self.vae.config.batch_norm_eps
        return norm.running_mean.view(1, -1, 1, 1), torch.sqrt(norm.running_var.view(1, -1, 1, 1) + epsilon)

    @cached_property
    def distilled(self) -> bool:
        """Whether it is, as its index says."""
        return bool(config_of(self.folder, INDEX).get("is_distilled"))

    @property
    def is_guided(self) -> bool:
        """What is distilled has guidance in its weights."""
        return not self.distilled

    def files(self) -> Flux2KleinFiles:
        """See `BaseModel`."""
        return Flux2KleinFiles(self)

    @staticmethod
    def shift(folder: Path) -> Shift:
        """As its pipeline has it."""
        shift: Shift = compute_empirical_mu
        return shift

    @staticmethod
    def empty(folder: Path, part: str) -> Any:
        """See `DitModel`."""
        if part == "text_encoder":
            reader = Qwen3ForCausalLM(Qwen3Config.from_pretrained(folder / part))
            reader.lm_head = torch.nn.Identity()  # its states are read, and no words of its own
            return reader
        kind = {"transformer": Flux2Transformer2DModel, "vae": AutoencoderKLFlux2}[part]
        return kind.from_config(kind.load_config(folder / part))

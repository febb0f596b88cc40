"""A Z-Image as a base model: the latents of FLUX.1's autoencoder, and prompts of which only the words are read."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from diffusers import AutoencoderKL, ZImageTransformer2DModel
from torch import Tensor
from transformers import Qwen3Config, Qwen3Model

from trainer.models.diffusers_layout import SCHEDULE, config_of
from trainer.models.dit.model import DitModel
from trainer.models.z_image.denoiser import ZImageDenoiser
from trainer.models.z_image.family import Z_IMAGE
from trainer.models.z_image.model_files import ZImageFiles
from trainer.noise.flow import Shift, linear_shift


@dataclass(eq=False)
class ZImage(DitModel):
    """Its parts, frozen."""

    denoiser_kind = ZImageDenoiser
    called = Z_IMAGE.name
    thinks = True

    @property
    def latent_px(self) -> int:
        """The autoencoder halves a picture between any two of its levels."""
        return int(2 ** (len(self.vae.config.block_out_channels) - 1))

    def encode(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """See `BaseModel`."""
        latents = self.vae.encode(pixels.to(self.device)).latent_dist
        return latents.mean, latents.std

    def normalised(self, latents: Tensor) -> Tensor:
        """All channels by the same two numbers."""
        normalised: Tensor = (latents - self.vae.config.shift_factor) * self.vae.config.scaling_factor
        return normalised

    def decode(self, latents: Tensor) -> Tensor:
        """See `BaseModel`."""
        pixels: Tensor = self.vae.decode(latents / self.vae.config.scaling_factor + self.vae.config.shift_factor).sample
        return pixels

    def files(self) -> ZImageFiles:
        """See `BaseModel`."""
        return ZImageFiles(self)

    @staticmethod
    def shift(folder: Path) -> Shift:
        """By the number of tokens; what is published has one shift for all sizes, in its schedule."""
        return partial(linear_shift, config_of(folder, SCHEDULE), ZImageDenoiser.patch**2)

    @staticmethod
    def empty(folder: Path, part: str) -> Any:
        """See `DitModel`."""
        if part == "text_encoder":
            return Qwen3Model(Qwen3Config.from_pretrained(folder / part))
        kind = {"transformer": ZImageTransformer2DModel, "vae": AutoencoderKL}[part]
        return kind.from_config(kind.load_config(folder / part))

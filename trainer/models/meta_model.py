"""A base model's networks by their settings alone: shapes without content, so that they take no memory."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from storage.errors import SetupError
from trainer.models.denoiser import Denoiser


@dataclass(frozen=True)
class MetaModel:
    """A base model without its weights' content."""

    denoiser: Denoiser
    vae: Any

    @classmethod
    def of(cls, folder: Path, dtype: torch.dtype) -> "MetaModel":
        """Build it from the settings in a folder of diffusers' layout; raises SetupError if these make no model."""
        try:
            return cls._of(folder, dtype)
        except (OSError, ValueError, TypeError, KeyError, AttributeError, ZeroDivisionError, RuntimeError) as error:
            raise SetupError(
                f"The settings in {folder} cannot be read as those of a Stable Diffusion: {error}."
            ) from error

    @classmethod
    def _of(cls, folder: Path, dtype: torch.dtype) -> "MetaModel":
        with torch.device("meta"):
            readers = [CLIPTextModel(CLIPTextConfig.from_pretrained(folder / "text_encoder"))]
            if (folder / "text_encoder_2").is_dir():
                readers.append(CLIPTextModelWithProjection(CLIPTextConfig.from_pretrained(folder / "text_encoder_2")))
            unet = UNet2DConditionModel.from_config(UNet2DConditionModel.load_config(folder / "unet"))
            vae = AutoencoderKL.from_config(AutoencoderKL.load_config(folder / "vae"))
        denoiser = Denoiser(unet, *readers).requires_grad_(False)
        for weight in denoiser.parameters():
            weight.data = weight.data.to(dtype)
        return cls(denoiser, vae.requires_grad_(False))

    @property
    def parts(self) -> dict[str, Any]:
        """The networks by their names in diffusers' layout."""
        readers = zip(("text_encoder", "text_encoder_2"), self.denoiser.text_encoders, strict=False)
        return {"unet": self.denoiser.unet, "vae": self.vae, **dict(readers)}

    def weights(self, part: str) -> int:
        """How many weights a part has, by its name in diffusers' layout; none if there is no such part."""
        network = self.parts.get(part)
        return sum(weight.numel() for weight in network.parameters()) if network else 0

    @property
    def state(self) -> dict[str, Tensor]:
        """All weights, by our names."""
        of_vae = {f"vae.{name}": weight for name, weight in self.vae.state_dict().items()}
        return self.denoiser.state_dict() | of_vae

    @property
    def image_px(self) -> int:
        """Side of its pictures."""
        return int(self.denoiser.unet.config.sample_size * 2 ** (len(self.vae.config.block_out_channels) - 1))

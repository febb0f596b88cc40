"""A base model's networks by their settings alone: shapes without content, so that they take no memory."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from trainer.denoiser import Denoiser


@dataclass(frozen=True)
class Skeleton:
    """A base model without its weights' content."""

    denoiser: Denoiser
    vae: Any

    @classmethod
    def of(cls, folder: Path, dtype: torch.dtype) -> "Skeleton":
        """Build it from the settings in a folder of diffusers' layout."""
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

    def weights(self, part: str) -> int:
        """How many weights a part has, by its name in diffusers' layout; none if there is no such part."""
        network = self.vae if part == "vae" else getattr(self.denoiser, part)
        return sum(weight.numel() for weight in network.parameters()) if network else 0

    @property
    def image_px(self) -> int:
        """Side of its pictures."""
        return int(self.denoiser.unet.config.sample_size * 2 ** (len(self.vae.config.block_out_channels) - 1))

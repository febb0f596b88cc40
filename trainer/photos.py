"""Prepared photos as tensors, and latents of them: the instance examples."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Generator, Tensor

VAE_PX = 512**2  # pixels that the VAE works on at once: more would take memory and save no time
SMALLEST_CROP = 0.8  # of the square; smaller ones would cut the subject


def read_photo(path: Path) -> Image.Image:
    """Open a prepared photo."""
    with Image.open(path) as image:
        return image.convert("RGB")


def crops(photo: Image.Image, side_px: int, count: int, generator: Generator) -> list[Image.Image]:
    """Return `count` square crops at `side_px`: the whole photo, then random windows of most of it."""
    out = [photo.resize((side_px, side_px), Image.Resampling.LANCZOS)]
    for _ in range(count - 1):
        share, x, y = torch.rand(3, generator=generator).tolist()
        side = photo.width * (SMALLEST_CROP + (1 - SMALLEST_CROP) * share)
        left, top = x * (photo.width - side), y * (photo.height - side)
        box = (left, top, left + side, top + side)
        out.append(photo.resize((side_px, side_px), Image.Resampling.LANCZOS, box))
    return out


def to_tensor(images: list[Image.Image]) -> Tensor:
    """Images of one size to n × 3 × h × w from -1 to 1."""
    stack = np.stack([np.asarray(image, np.float32) for image in images])
    return torch.from_numpy(stack).permute(0, 3, 1, 2) / 127.5 - 1


def to_images(pixels: Tensor) -> list[Image.Image]:
    """Turn n × 3 × h × w from -1 to 1 into images."""
    array = ((pixels.clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).cpu().numpy()
    return [Image.fromarray(picture) for picture in array]


@torch.no_grad()
def moments(vae: Any, pixels: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of the pictures' latents, unscaled; n × 4 × h × w each."""
    parts = [vae.encode(some.to(vae.device)).latent_dist for some in torch.split(pixels, at_once(pixels.shape[-1]))]
    return torch.cat([part.mean for part in parts]), torch.cat([part.std for part in parts])


def at_once(side_px: int) -> int:
    """How many pictures the VAE takes at once."""
    return max(1, VAE_PX // side_px**2)

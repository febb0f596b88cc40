"""Prepared photos as tensors, and latents of them: the instance examples."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Generator, Tensor

from storage.colours import NEUTRAL

SMALLEST_CROP = 0.8  # of the square; smaller ones would cut the subject


Box = tuple[float, float, float, float]  # left, top, right, bottom


def read_photo(path: Path) -> Image.Image:
    """Open a prepared photo; what is transparent is laid onto the neutral colour."""
    with Image.open(path) as image:
        if image.mode != "RGBA":
            return image.convert("RGB")
        return Image.alpha_composite(Image.new("RGBA", image.size, NEUTRAL), image).convert("RGB")


def read_mask(path: Path) -> Image.Image:
    """What is subject in a prepared photo, white, and what is not, black: its opacity. All of one without it."""
    with Image.open(path) as image:
        return image.getchannel("A") if image.mode == "RGBA" else Image.new("L", image.size, 255)


def windows(size: tuple[int, int], aspect: float, count: int, generator: Generator) -> list[Box]:
    """Return `count` windows of an aspect in a photo: the largest, in its middle, then random ones of most of it."""
    widest, highest = min(size[0], size[1] * aspect), min(size[1], size[0] / aspect)
    left, top = (size[0] - widest) / 2, (size[1] - highest) / 2
    out: list[Box] = [(left, top, left + widest, top + highest)]
    for _ in range(count - 1):
        share, x, y = torch.rand(3, generator=generator).tolist()
        width, height = (side * (SMALLEST_CROP + (1 - SMALLEST_CROP) * share) for side in (widest, highest))
        left, top = x * (size[0] - width), y * (size[1] - height)
        out.append((left, top, left + width, top + height))
    return out


def to_tensor(images: list[Image.Image]) -> Tensor:
    """Images of one size to n × 3 × h × w from -1 to 1."""
    stack = np.stack([np.asarray(image, np.float32) for image in images])
    return torch.from_numpy(stack).permute(0, 3, 1, 2) / 127.5 - 1


def to_images(pixels: Tensor) -> list[Image.Image]:
    """Turn n × 3 × h × w from -1 to 1 into images."""
    # Rounded, not cut off: byte() alone would make every picture half a level darker.
    array = ((pixels.clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).cpu().numpy()
    return [Image.fromarray(picture) for picture in array]

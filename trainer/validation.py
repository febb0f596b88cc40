"""Validation: the loss on what is not learned from, with the same noise and timesteps each time.

A single step's loss says little, since each has its own noise and timestep. These can be compared: they fall while the
subject is learned, and those of the class rise when it begins to be forgotten.
"""

import torch
from PIL import Image
from torch import Generator, Tensor

from trainer.examples import Batch
from trainer.models import BaseModel
from trainer.photos import crops, moments, to_tensor

HELD_BACK = 4  # class images, of the last eighth, and crops of photos
SEED = 11


def learned_from(class_latents: Tensor) -> Tensor:
    """The class images but for those that are held back; a small set can spare none."""
    return class_latents[: len(class_latents) - min(HELD_BACK, len(class_latents) // 8)]


class Validation:
    """Examples that are held back: crops of the photos, and class images, one of each in a batch."""

    def __init__(self, base: BaseModel, photos: list[Image.Image], class_latents: Tensor | None) -> None:
        """`class_latents` are the whole set; of one that is too small some are seen in training, too."""
        generator = Generator("cpu").manual_seed(SEED)
        of = [photos[k % len(photos)] for k in range(HELD_BACK)]
        held_back = [crops(photo, base.image_px, 2, generator)[1] for photo in of]
        parts = [moments(base.vae, to_tensor(held_back))[0] * base.vae.config.scaling_factor]
        if class_latents is not None:
            parts.append(class_latents[[-1 - k % len(class_latents) for k in range(HELD_BACK)]].to(base.device))
        clean = torch.stack(parts, dim=1)  # batches × 1 or 2 × 4 × h × w
        noise = torch.randn(clean.shape, generator=generator).to(base.device)
        times = base.scheduler.config.num_train_timesteps
        t = torch.tensor([times * (2 * k + 1) // (2 * HELD_BACK) for k in range(HELD_BACK)], device=base.device)
        self.batches = [Batch(clean[k], noise[k], t[k].expand(len(clean[k])), 1) for k in range(HELD_BACK)]

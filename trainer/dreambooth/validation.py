"""Validation: the loss on what is not learned from, with the same noise and timesteps each time.

A single step's loss says little, since each has its own noise and timestep. These can be compared: they fall while the
subject is learned, and those of the class rise when it begins to be forgotten.
"""

from pathlib import Path

import torch
from torch import Generator, Tensor
from torch.nn import functional

from storage.contract.recipe import Recipe
from trainer.diffusion.images import to_tensor
from trainer.diffusion.latents import moments
from trainer.dreambooth.augment import views_of
from trainer.dreambooth.batches import Batch
from trainer.models.base import BaseModel

HELD_BACK = 4  # class images, of the last eighth, and crops of photos
SEED = 11


def learned_from(class_latents: Tensor) -> Tensor:
    """The class images but for those that are held back; a small set can spare none."""
    return class_latents[: len(class_latents) - min(HELD_BACK, len(class_latents) // 8)]


def _as_shape(latents: Tensor, wanted: Tensor) -> Tensor:
    """The middle of latents, as high and wide as others; where they are lower or narrower, mirrored at their edges."""
    (h, w), (height, width) = latents.shape[2:], wanted.shape[2:]
    top, left = max(0, (h - height) // 2), max(0, (w - width) // 2)
    middle = latents[..., top : top + height, left : left + width]
    down, across = height - middle.shape[2], width - middle.shape[3]
    return functional.pad(middle, (across // 2, across - across // 2, down // 2, down - down // 2), mode="reflect")


class Validation:
    """Examples that are held back: square crops of the photos, and for the class as a training has it, two in a batch.

    That is a class image, or the same crop for a teacher.
    """

    def __init__(
        self, base: BaseModel, photos: list[Path], class_latents: Tensor | None, recipe: Recipe, captioned: bool = False
    ) -> None:
        """`class_latents` are the whole set; of one that is too small some are seen in training, too.

        `captioned`: photos have prompts of their own, after which that of the class comes.
        """
        generator = Generator("cpu").manual_seed(SEED)
        of = [k % len(photos) for k in range(HELD_BACK)]
        # Of two views of each photo the second is a random crop, which no training sees quite like that.
        two = recipe.model_copy(update={"crops": 2, "flips": False, "aspect_buckets": False})
        held_back = views_of([photos[k] for k in of], base, two, generator).of(range(1, 2 * HELD_BACK, 2))
        masks = held_back.weights(base.latent_px, recipe.mask_weight)
        parts = [base.normalised(moments(base, to_tensor(held_back.images))[0])]
        if class_latents is not None:
            parts.append(class_latents[[-1 - k % len(class_latents) for k in range(HELD_BACK)]].to(base.device))
            parts[1] = _as_shape(parts[1], parts[0])
        clean = torch.stack(parts, dim=1)  # batches × 1 or 2 × c × h × w
        noise = torch.randn(clean.shape, generator=generator).to(base.device)
        t = base.process.spaced_times(clean[:, 0])
        teacher = recipe.prior == "teacher"
        if teacher:
            clean, noise = clean.repeat_interleave(2, dim=1), noise.repeat_interleave(2, dim=1)
        kinds = clean.shape[1]
        self.batches = [
            Batch(
                clean[k],
                noise[k],
                t[k].expand(kinds),
                1,
                prompts=torch.tensor([of[k], len(photos) + teacher * of[k]][:kinds], device=base.device)
                if captioned
                else None,
                mask=None if masks is None else masks[k : k + 1].to(base.device),
            )
            for k in range(HELD_BACK)
        ]

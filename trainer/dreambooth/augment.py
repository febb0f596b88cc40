"""The views of photos that a training learns from: crops of each, mirrored ones, and what in them is subject."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image, ImageOps
from torch import Generator, Tensor

from storage.contract.recipe import Recipe
from trainer.diffusion.images import read_mask, read_photo, windows
from trainer.models.base import BaseModel

Size = tuple[int, int]  # width and height in pixels

LONGEST_ASPECT = 2.0
LEAST_SHARE = 1e-3  # of a picture that is subject: where there is less, nothing is learned from it


@dataclass(frozen=True)
class Views:
    """n pictures; `masks` are white where the subject is, and `photos`, n, says of which photo each is."""

    images: list[Image.Image]
    masks: list[Image.Image]
    photos: Tensor

    def by_size(self) -> list["Views"]:
        """The views, grouped by the size of the pictures."""
        sizes = dict.fromkeys(image.size for image in self.images)
        return [self.of([k for k, image in enumerate(self.images) if image.size == size]) for size in sizes]

    def of(self, which: Sequence[int]) -> "Views":
        """Some of them."""
        return Views([self.images[k] for k in which], [self.masks[k] for k in which], self.photos[list(which)])

    def weights(self, latent_px: int, background: float) -> Tensor | None:
        """What the error at each latent counts, n × 1 × h × w; None if that is the same everywhere. Of one size only.

        The subject's weight is 1 and the background's `background`, then all are scaled to a mean of 1 in each picture,
        so that a loss keeps its scale.
        """
        if background == 1 or all(mask.getextrema() == (255, 255) for mask in self.masks):
            return None
        width, height = (side // latent_px for side in self.masks[0].size)
        small = [mask.resize((width, height), Image.Resampling.BOX) for mask in self.masks]
        subject = torch.stack([torch.frombuffer(bytearray(mask.tobytes()), dtype=torch.uint8) for mask in small])
        weights = background + (1 - background) * subject.view(-1, 1, height, width) / 255
        # With a mean of 1 for each photo, a small subject does not learn slower than a large one.
        return weights / weights.mean((2, 3), keepdim=True).clamp(min=LEAST_SHARE)


def bucket_of(photo: Size, side_px: int, step_px: int) -> Size:
    """The size nearest in aspect to a photo's: multiples of `step_px`, no more pixels than a square of `side_px`.

    >>> bucket_of((1500, 1000), 512, 64)
    (640, 384)
    """
    width, height = photo
    if width == height:
        return side_px, side_px
    # In units of the step, most² is the area of the square, which no size exceeds.
    most = side_px // step_px
    sizes = [(side_px, side_px), *((n * step_px, most**2 // n * step_px) for n in range(1, most**2 + 1))]
    fitting = [(w, h) for w, h in sizes if max(w, h) <= LONGEST_ASPECT * min(w, h)]
    # By logarithm, twice as wide is as far off as twice as high.
    return min(fitting, key=lambda size: abs(math.log(size[0] / size[1] * height / width)))


def views_of(photos: Sequence[Path], base: BaseModel, recipe: Recipe, choice: Generator) -> Views:
    """Cut the views that a recipe asks for, in the base model's size or near it; the first of a photo is all of it."""
    images, masks = [], []
    for path in photos:
        photo, mask = read_photo(path), read_mask(path)
        size: Size = (base.image_px, base.image_px)
        if recipe.aspect_buckets:
            size = bucket_of(photo.size, base.image_px, base.size_step_px)
        for box in windows(photo.size, size[0] / size[1], recipe.crops, choice):
            images.append(photo.resize(size, Image.Resampling.LANCZOS, box))
            # A mean of pixels: Lanczos would overshoot at the edges, and so give weights that no pixel has.
            masks.append(mask.resize(size, Image.Resampling.BOX, box))
    which = torch.arange(len(photos)).repeat_interleave(recipe.crops)
    if recipe.flips:
        images += [ImageOps.mirror(image) for image in images]
        masks += [ImageOps.mirror(mask) for mask in masks]
        which = which.repeat(2)
    return Views(images, masks, which)

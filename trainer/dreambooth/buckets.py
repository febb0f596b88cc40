"""Aspect buckets: photos that are not square are learned in sizes of about their aspect, each batch of one size.

As NovelAI does (2022, "NovelAI Improvements on Stable Diffusion"): sizes have about as many pixels as the model's
square, so that they take no more memory, and sides that its networks can halve as often as they do.
"""

from collections.abc import Iterator

import torch
from torch import Generator, Tensor

from storage.contract.recipe import Recipe
from trainer.diffusion.images import to_tensor
from trainer.diffusion.latents import moments
from trainer.dreambooth.augment import Views
from trainer.dreambooth.batches import Batch, Examples
from trainer.models.base import BaseModel


class Buckets:
    """Examples of several sizes: a step learns from one of them, and in the long run as often from each picture."""

    def __init__(self, sizes: list[Examples], choice: Generator) -> None:
        self.sizes, self.choice = sizes, choice
        self.pictures = torch.tensor([float(len(examples.mean)) for examples in sizes])

    def draw(self, count: int, passes: int, chance: Generator) -> Iterator[Batch]:
        """Draw the examples of a step, as `Examples.draw` does."""
        # By numbers of pictures: the rare size of a single photo must not be seen as often as that of ten.
        which = int(torch.multinomial(self.pictures, 1, generator=self.choice))
        return self.sizes[which].draw(count, passes, chance)


def examples_of(
    base: BaseModel, views: Views, class_latents: Tensor | None, recipe: Recipe, captions: int, choice: Generator
) -> Examples | Buckets:
    """What a training learns from; `captions` says how many of the photos have prompts of their own, all or none."""
    sizes = [
        Examples(
            base,
            moments(base, to_tensor(some.images)),
            class_latents,
            recipe.noise_offset,
            prompts=some.photos if captions else None,
            of_class=captions or 1,
            masks=some.weights(base.latent_px, recipe.mask_weight),
            teacher=recipe.prior == "teacher",
        )
        for some in views.by_size()
    ]
    return sizes[0] if len(sizes) == 1 else Buckets(sizes, choice)

"""Pictures to latents and back, so many at once as memory allows."""

import math
from collections.abc import Sequence

import torch
from PIL import Image
from torch import Tensor

from trainer.diffusion.images import to_images, to_tensor
from trainer.models.base import BaseModel
from trainer.models.finite import NotFinite, is_finite

AT_ONCE_PX = 512**2  # pixels that the autoencoder works on at once: more would take memory and save no time
NOTHING = (
    "The model drew no picture, since its numbers ran out of range. Another scheduler, a lower guidance or other steps "
    "may help; if nothing does, whoever runs me should check the base model with `darkroom doctor`."
)


@torch.no_grad()
def moments(base: BaseModel, pixels: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of the pictures' latents before they are normalised; n × c × h × w each."""
    parts = [base.encode(some) for some in torch.split(pixels, at_once(math.isqrt(pixels[0, 0].numel())))]
    means, deviations = zip(*parts, strict=True)
    return torch.cat(means), torch.cat(deviations)


@torch.no_grad()
def reference_latents(base: BaseModel, photos: Sequence[Image.Image]) -> list[Tensor]:
    """Normalised latents of photos that drawings are to refer to, 1 × c × h × w each."""
    return [base.normalised(moments(base, to_tensor([base.as_reference(photo)]))[0]) for photo in photos]


@torch.no_grad()
def decode(base: BaseModel, latents: Tensor) -> list[Image.Image]:
    """Latents to pictures; raises NotFinite where they, or the pixels, are not finite: those would be black."""
    side_px = math.isqrt(latents[0, 0].numel()) * base.latent_px
    pixels = [base.decode(part) for part in torch.split(latents, at_once(side_px))]
    if not all(is_finite(some) for some in pixels):
        raise NotFinite(NOTHING)
    return [image for some in pixels for image in to_images(some)]


def at_once(side_px: int) -> int:
    """How many pictures the autoencoder takes at once."""
    return max(1, AT_ONCE_PX // side_px**2)

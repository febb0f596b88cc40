"""Previews of pictures that are being drawn: a linear map from latents to colours, in place of the decoder.

A latent of an autoencoder says first of all which colour its pixels have (as "latent2rgb" in other programs), so least
squares on a few pictures give a map that costs a thousandth of a decode. It is fitted for each base model anew: no
family needs a table of numbers.
"""

import math

import torch
from PIL import Image
from torch import Generator, Tensor
from torch.nn.functional import interpolate, pixel_shuffle, pixel_unshuffle

from trainer.diffusion.images import to_images
from trainer.models.base import BaseModel

SIDE_MAX_PX = 256  # of a preview
PIXEL_PX = 8  # of the picture that one pixel of the map stands for, at least
PICTURES, CELLS = 6, 16  # that it is fitted to: so many pictures, of so many latents a side
RIDGE = 1e-3  # of the latents' variance: channels that hardly vary in these pictures get no weight


class LatentPreview:
    """A linear map from latents to pixels."""

    def __init__(self, weight: Tensor, bias: Tensor, patch: int) -> None:
        """`weight` is 3·patch² × channels: each latent becomes so many pixels a side."""
        self.weight, self.bias, self.patch = weight, bias, patch

    @classmethod
    @torch.no_grad()
    def fitted(cls, base: BaseModel) -> "LatentPreview":
        """Fit it to smooth pictures of all colours, as the base model's autoencoder encodes them."""
        patch = max(1, base.latent_px // PIXEL_PX)
        pixels = _smooth_pictures(CELLS * base.latent_px)
        latents = torch.cat([base.normalised(base.encode(each)[0]) for each in torch.split(pixels, 1)]).float().cpu()
        cells = interpolate(pixels, size=(CELLS * patch,) * 2, mode="area")
        targets = pixel_unshuffle(cells, patch).movedim(1, -1).flatten(0, -2).double()
        inputs = latents.movedim(1, -1).flatten(0, -2).double()
        mean, target_mean = inputs.mean(0), targets.mean(0)
        centred = inputs - mean
        square = centred.T @ centred
        square += RIDGE * square.diagonal().mean() * torch.eye(len(square), dtype=square.dtype)
        weight = torch.linalg.solve(square, centred.T @ (targets - target_mean)).T
        return cls(weight.float(), (target_mean - weight @ mean).float(), patch)

    @torch.no_grad()
    def pictures(self, latents: Tensor) -> list[Image.Image]:
        """Small pictures of normalised latents, n × c × h × w; not finite ones are black."""
        weight, bias = self.weight.to(latents), self.bias.to(latents)
        pixels = torch.einsum("pc,nchw->nphw", weight, latents) + bias.view(-1, 1, 1)
        return to_images(pixel_shuffle(torch.nan_to_num(pixels.float()), self.patch))


def contact_sheet(pictures: list[Image.Image], picture_px: int) -> Image.Image:
    """All pictures in one of at most `SIDE_MAX_PX` a side; `picture_px` is the longer side that each will have."""
    columns = math.isqrt(len(pictures) - 1) + 1
    rows = -(-len(pictures) // columns)
    longest_px = max(pictures[0].size)
    scale = min(picture_px, SIDE_MAX_PX // max(columns, rows)) / longest_px
    width, height = (max(1, round(scale * side)) for side in pictures[0].size)
    sheet = Image.new("RGB", (columns * width, rows * height), "white")
    for number, picture in enumerate(pictures):
        small = picture.resize((width, height), Image.Resampling.BICUBIC)
        sheet.paste(small, (number % columns * width, number // columns * height))
    return sheet


def _smooth_pictures(side_px: int) -> Tensor:
    """Pictures whose colours change slowly, and reach black and white, n × 3 × h × w from -1 to 1."""
    coarse = torch.rand((PICTURES, 3, 5, 5), generator=Generator().manual_seed(0))
    smooth = interpolate(coarse, size=(side_px, side_px), mode="bicubic", align_corners=False)
    return (smooth.clamp(0, 1) * 2 - 1).contiguous()

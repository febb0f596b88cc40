"""Previews: a linear map that is like the decoder, for every family, and cheap; and what a prediction means."""

import io

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from tests.support.quick import slow_but
from trainer.diffusion.latents import decode
from trainer.diffusion.preview import SIDE_MAX_PX, LatentPreview, contact_sheet
from trainer.diffusion.sampling import Denoising
from trainer.models.base import BaseModel, load_base
from trainer.noise.ddpm import SCHEDULERS

SEEDS = [1, 2, 3, 4]


@pytest.fixture(scope="module")
def toyworld() -> BaseModel:
    return load_base("toyworld")


@pytest.fixture(scope="module")
def drawn(toyworld: BaseModel) -> Tensor:
    """Latents of pictures that were drawn."""
    how = {"steps": 12, "guidance": 4.0}
    denoising = Denoising(toyworld, toyworld.denoiser, "a photo of a blue dog on the moon", SEEDS, **how)
    while not denoising.done:
        denoising.step()
    return denoising.latents


def likeness(one: Image.Image, other: Image.Image) -> float:
    """The correlation of two pictures' colours, at the size of the first."""
    values = [np.asarray(each.resize(one.size, Image.Resampling.BOX), np.float64).ravel() for each in (one, other)]
    return float(np.corrcoef(*values)[0, 1])


def test_a_preview_is_like_the_picture(toyworld: BaseModel, drawn: Tensor) -> None:
    previews = LatentPreview.fitted(toyworld).pictures(drawn)
    pictures = decode(toyworld, drawn)
    alike = [likeness(preview, picture) for preview, picture in zip(previews, pictures, strict=True)]
    assert min(alike) > 0.9, alike
    assert min(alike) > max(likeness(previews[0], picture) for picture in pictures[1:])


@pytest.mark.parametrize("scheduler", slow_but(SCHEDULERS, "ddim", "euler-a"))
def test_what_a_step_predicts_is_like_the_picture_long_before_the_end(toyworld: BaseModel, scheduler: str) -> None:
    how = {"steps": 16, "guidance": 4.0, "scheduler": scheduler}
    denoising = Denoising(toyworld, toyworld.denoiser, "a photo of a blue dog on the moon", SEEDS[:1], **how)
    denoising.keeps_clean, clean = True, None
    while not denoising.done:
        denoising.step()
        if denoising.taken == 8:
            clean = denoising.clean
    assert clean is not None
    (preview,) = LatentPreview.fitted(toyworld).pictures(clean)
    (picture,) = decode(toyworld, denoising.latents)
    assert likeness(preview, picture) > 0.8


def test_looking_changes_no_bit(toyworld: BaseModel) -> None:
    latents = []
    for looks in (False, True):
        denoising = Denoising(toyworld, toyworld.denoiser, "a dog", [7], steps=4, guidance=4.0)
        denoising.keeps_clean = looks
        while not denoising.done:
            denoising.step()
        latents.append(denoising.latents)
    assert torch.equal(*latents)


def test_a_true_prediction_means_the_clean_latents(base: BaseModel) -> None:
    clean, noise = (torch.randn((5, *base.latent_shape()), generator=torch.Generator().manual_seed(k)) for k in (1, 2))
    t = base.process.spaced_times(clean)
    noisy = base.process.add_noise(clean, noise, t)
    assert torch.allclose(base.process.clean(noisy, base.process.target(clean, noise, t), t), clean, atol=1e-3)


def test_a_contact_sheet_is_small_however_large_and_many_the_pictures_are() -> None:
    for size in ((128, 128), (64, 128), (16, 16)):
        for count in (1, 2, 4, 16):
            sheet = contact_sheet([Image.new("RGB", size, "red") for _ in range(count)], 1024)
            assert max(sheet.size) <= SIDE_MAX_PX
            buffer = io.BytesIO()
            sheet.save(buffer, "JPEG", quality=75)
            assert buffer.tell() < 64 * 1024


def test_what_is_not_finite_is_no_picture_and_no_error(base: BaseModel) -> None:
    latents = torch.full((1, *base.latent_shape()), float("nan"))
    assert LatentPreview.fitted(base).pictures(latents)[0].getextrema()[0][0] >= 0

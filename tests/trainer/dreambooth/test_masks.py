"""Masks: what is transparent in a photo stays so, and counts in the loss as much as the recipe says."""

import io
from pathlib import Path
from random import Random

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from bot.photos.prepare import fingerprint
from research.toyworld.scenes import character
from storage.colours import NEUTRAL
from tests.support.photo_files import judged, opened, saved, scene
from tests.support.quick import slow_but
from trainer.diffusion.images import read_mask, read_photo
from trainer.diffusion.losses import dreambooth_loss
from trainer.dreambooth.augment import views_of
from trainer.dreambooth.dataset import SubjectSpec
from trainer.dreambooth.train import Training
from trainer.models.base import BaseModel
from trainer.models.default_recipe import recipe_for


@pytest.fixture(scope="module")
def cut_outs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two photos without their background, and one with it."""
    folder, who = tmp_path_factory.mktemp("photos"), character(3, "dog")
    pictures = [who.cut_out(Random(k), "in Paris", size_px=128) for k in range(2)]
    for k, picture in enumerate([*pictures, who.photo(Random(3), "on the moon", size_px=128)]):
        picture.save(folder / f"{k}.png")
    return sorted(folder.iterdir())


def losses(base: BaseModel, photos: list[Path], steps: int = 3, **how: object) -> Tensor:
    class_latents = torch.randn(4, 4, 16, 16, generator=torch.Generator().manual_seed(1))
    subjects = [(SubjectSpec(photos, "dog", "zuf"), class_latents)]
    training = Training(base, subjects, recipe_for(base.folder, **how), seed=0)  # type: ignore[arg-type]
    for _ in range(steps):
        training.step()
    return training.losses[:steps]


# ---- the photo


def half_clear(width: int = 128, height: int = 128) -> Image.Image:
    """A scene whose right half is transparent, and hides something."""
    picture = scene(width, height).convert("RGBA")
    picture.paste((255, 0, 0, 0), (width // 2, 0, width, height))
    return picture


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_what_was_transparent_stays_so_and_hides_nothing(kind: str) -> None:
    square = opened(saved(half_clear(), kind, **({"lossless": True, "exact": True} if kind == "WEBP" else {})))
    assert square.mode == "RGBA" and square.getextrema()[3] == (0, 255)
    assert square.getpixel((100, 64)) == (*NEUTRAL, 0)
    assert square.crop((0, 0, 60, 128)).convert("RGB").tobytes() == scene(128, 128).crop((0, 0, 60, 128)).tobytes()


def test_a_picture_without_holes_needs_no_transparency() -> None:
    assert opened(saved(scene().convert("RGBA"))).mode == "RGB"
    wide = half_clear(300, 100)  # what is cut off does not count
    wide.putalpha(Image.new("L", wide.size, 255))
    assert opened(saved(wide)).mode == "RGB"


def test_a_prepared_photo_is_prepared_again_to_the_same(tmp_path: Path) -> None:
    soft = scene(128, 128).convert("RGBA")
    soft.putalpha(Image.linear_gradient("L").resize((128, 128)))
    (once,) = judged(saved(soft)).accepted
    (again,) = judged(once.data).accepted
    assert again.sha256 == once.sha256


def test_transparency_makes_no_copy_another_picture(cut_outs: list[Path]) -> None:
    clear = cut_outs[0].read_bytes()
    on_grey = saved(read_photo(cut_outs[0]))
    assert judged(clear, on_grey).refused[0].reason == "is a near-duplicate of 1"
    assert fingerprint(read_photo(cut_outs[0])) == fingerprint(Image.open(io.BytesIO(on_grey)))


def test_the_trainer_sees_the_photo_on_grey_and_its_mask(cut_outs: list[Path]) -> None:
    photo, mask = np.asarray(read_photo(cut_outs[0])), np.asarray(read_mask(cut_outs[0]))
    assert (photo[mask == 0] == NEUTRAL).all() and 0.1 < (mask > 0).mean() < 0.7
    assert read_mask(cut_outs[2]).getextrema() == (255, 255)


# ---- the loss


def test_a_mask_weighs_the_subjects_errors_within_each_picture() -> None:
    chance = torch.Generator().manual_seed(0)
    predicted, wanted = torch.randn(5, 4, 6, 6, generator=chance), torch.randn(5, 4, 6, 6, generator=chance)
    mask, weights = torch.rand(3, 1, 6, 6, generator=chance), torch.rand(5, generator=chance)
    loss, instance, prior = dreambooth_loss(predicted, wanted, 3, 0.5, weights, mask)
    errors = [
        sum((predicted[i, c, y, x] - wanted[i, c, y, x]) ** 2 * (mask[i, 0, y, x] if i < 3 else 1) * weights[i] / 144
            for c in range(4) for y in range(6) for x in range(6))
        for i in range(5)
    ]  # fmt: skip
    assert instance.item() == pytest.approx(float(sum(errors[:3])) / 3, rel=1e-5)
    assert prior.item() == pytest.approx(float(sum(errors[3:])) / 2, rel=1e-5)
    assert loss.item() == pytest.approx(instance.item() + 0.5 * prior.item(), rel=1e-6)


def test_the_background_counts_as_much_as_the_recipe_says(base: BaseModel, cut_outs: list[Path]) -> None:
    views = views_of(cut_outs, base, recipe_for(base.folder), torch.Generator())
    weights = views.weights(base.latent_px, 0.25)
    assert weights is not None and weights.shape == (3, 1, 16, 16)
    assert torch.allclose(weights.mean((1, 2, 3)), torch.ones(3))
    for k in (0, 1):
        assert weights[k].min() / weights[k].max() == pytest.approx(0.25, abs=0.01)
        opacity = np.asarray(read_mask(cut_outs[k]).resize((16, 16), Image.Resampling.BOX))
        assert (weights[k, 0].numpy()[opacity == 255] == weights[k].max().item()).all()
        assert np.allclose(weights[k, 0].numpy()[opacity == 0], weights[k].min().item())
    assert (weights[2] == 1).all()


def test_nothing_is_learned_of_a_background_without_weight(base: BaseModel, cut_outs: list[Path]) -> None:
    how = {"mask_weight": 0.0, "batch": 4}
    training = Training(base, [(SubjectSpec(cut_outs[:1], "dog", "zuf"), None)], recipe_for(base.folder, **how), seed=0)
    (batch,) = training.subjects[0].examples.draw(4, 1, torch.Generator().manual_seed(0))
    predicted = torch.randn(batch.clean.shape, requires_grad=True)
    dreambooth_loss(predicted, batch.clean, 4, 1.0, mask=batch.mask)[0].backward()
    empty = np.asarray(read_mask(cut_outs[0]).resize((16, 16), Image.Resampling.BOX)) == 0
    reached = predicted.grad.abs().amax((0, 1)).numpy()  # type: ignore[union-attr]
    assert (reached[empty] == 0).all() and (reached[~empty] > 0).all()


def test_masks_go_along_with_crops_and_mirrored_photos(base: BaseModel, cut_outs: list[Path]) -> None:
    how = recipe_for(base.folder, crops=3, flips=True)
    views = views_of(cut_outs[:2], base, how, torch.Generator().manual_seed(2))
    assert len(views.images) == len(views.masks) == 12 and views.photos.tolist() == [0, 0, 0, 1, 1, 1] * 2
    for image, mask in zip(views.images, views.masks, strict=True):
        pixels, clear = np.asarray(image).astype(int), np.asarray(mask) == 0
        assert np.abs(pixels[clear] - NEUTRAL).max() < 40  # a sharp filter rings a little
        assert np.abs(pixels[~clear] - NEUTRAL).max(axis=1).mean() > 60


@pytest.mark.parametrize(
    "how", slow_but([{}, {"flips": True, "crops": 2, "snr_gamma": 5}], {"flips": True, "crops": 2, "snr_gamma": 5})
)
def test_masks_count_only_if_the_recipe_says_so(
    base: BaseModel, cut_outs: list[Path], tmp_path: Path, how: dict[str, object]
) -> None:
    flat = []
    for path in cut_outs:
        flat.append(tmp_path / path.name)
        read_photo(path).save(flat[-1])
    without = losses(base, flat, **how)
    assert torch.equal(losses(base, cut_outs, **how), without)
    assert torch.equal(losses(base, flat, mask_weight=0.0, **how), without)
    assert not torch.equal(losses(base, cut_outs, mask_weight=0.0, **how), without)


def test_what_is_held_back_has_its_mask(base: BaseModel, cut_outs: list[Path]) -> None:
    how = recipe_for(base.folder, mask_weight=0.0)
    batches = Training(base, [(SubjectSpec(cut_outs, "dog", "zuf"), None)], how, seed=0).subjects[0].validation.batches
    clear, _, whole, _ = (batch.mask for batch in batches)
    assert clear is not None and clear.shape == (1, 1, 16, 16) and clear.min() == 0 and (whole == 1).all()


def test_several_passes_make_the_same_step_as_one(base: BaseModel, cut_outs: list[Path]) -> None:
    how = {"mask_weight": 0.1, "learning_rate": 1e-3}
    one, other = (losses(base, cut_outs, batch=b, accumulation=4 // b, **how) for b in (4, 1))
    assert torch.allclose(one, other, rtol=1e-5, atol=1e-5)

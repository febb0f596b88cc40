"""The recipe follows from the photos: how many there are that differ."""

import io
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageEnhance

from research.toyworld.scenes import character
from storage.contract.recipe import Recipe
from trainer.models.default_recipe import for_photos
from trainer.toyworld.words import PLACES
from trainer.worker.photo_diversity import count_different


def saved(folder: Path, pictures: list[Image.Image]) -> list[Path]:
    paths = [folder / f"{k}.png" for k in range(len(pictures))]
    for picture, path in zip(pictures, paths, strict=True):
        picture.save(path)
    return paths


def again(picture: Image.Image) -> Image.Image:
    """The next photo of a burst: a little nearer, a little darker, through a JPEG."""
    width, height = picture.size
    nearer = picture.crop((2, 2, width - 2, height - 2)).resize(picture.size)
    buffer = io.BytesIO()
    ImageEnhance.Brightness(nearer).enhance(0.9).save(buffer, "JPEG")
    return Image.open(buffer)


def test_photos_in_different_places_differ_and_those_of_a_burst_do_not(tmp_path: Path) -> None:
    who = character(3, "dog")
    photos = [who.photo(Random(k), PLACES[k], size_px=128) for k in range(5)]
    assert count_different(saved(tmp_path, photos)) == 5
    assert count_different(saved(tmp_path, [photos[0], again(photos[0]), again(again(photos[0])), photos[1]])) == 2
    assert count_different(saved(tmp_path, photos[:1])) == 1


@given(st.integers(1, 40), st.integers(1, 32), st.integers(1, 4000), st.sets(st.sampled_from(["crops", "steps"])))
def test_what_follows_is_a_recipe_and_what_was_asked_for_stays(
    photos: int, crops: int, steps: int, asked: set[str]
) -> None:
    recipe = Recipe(crops=crops, steps=steps)
    found = Recipe(**for_photos(recipe, photos, asked).model_dump())
    assert found.crops >= crops and found.steps >= steps
    assert not asked & {name for name, value in found if value != getattr(recipe, name)}


@pytest.mark.parametrize(
    ("photos", "crops", "steps"), [(1, 4, 800), (2, 2, 800), (3, 2, 800), (4, 1, 800), (8, 1, 800), (12, 1, 1200)]
)
def test_few_photos_are_cut_out_of_in_more_ways_and_many_take_more_steps(photos: int, crops: int, steps: int) -> None:
    found = for_photos(Recipe(), photos)
    assert (found.crops, found.steps) == (crops, steps)

"""Pictures need not be square: sizes and aspects as people write them, through every place that has them."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.arguments.arguments import ImagineArguments
from bot.commands.prefill import filled_form
from bot.core.messages import Request
from storage.contract.recipe import Recipe
from storage.contract.sizes import ASPECTS, SIDE_MAX_PX, SIDE_MIN_PX, read_size, size_of_aspect
from storage.kinds.imagine import ImagineJob
from tests.conftest import Chat
from trainer.dreambooth import class_images
from trainer.dreambooth.dataset import SubjectSpec
from trainer.dreambooth.prompts import class_set_key
from trainer.dreambooth.train import Training
from trainer.models.default_recipe import recipe_for
from trainer.steps import run_to_end

if TYPE_CHECKING:
    from trainer.models.base import BaseModel


@pytest.mark.parametrize(
    ("written", "size"),
    [
        ("512", (512, 512)),
        ("768x512", (768, 512)),
        ("768×512", (768, 512)),
        (" 768 X 512 ", (768, 512)),
        ("768*512", (768, 512)),
    ],
)
def test_sizes_are_read_as_people_write_them(written: str, size: tuple[int, int]) -> None:
    assert read_size(written) == size


@pytest.mark.parametrize(
    ("written", "sentence"),
    [
        ("big", "like 512 or 768x512"),
        ("512x", "like 512 or 768x512"),
        ("-512", "like 512 or 768x512"),
        ("٥١٢", "like 512 or 768x512"),
        ("500x700", "multiples of 8 pixels: 496×704 would do"),
        ("8", "32 to 2,048 pixels"),
        ("99999x64", "32 to 2,048 pixels"),
    ],
)
def test_what_is_no_size_is_told_in_a_sentence(written: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        read_size(written)


@pytest.mark.parametrize(
    ("written", "aspect"),
    [*dict.fromkeys(["3:2", "3/2", "3x2", " 3 × 2 ", "3：2", "Landscape"], "3:2").items(), ("portrait", "2:3")],
)
def test_aspects_are_read_as_people_write_them(written: str, aspect: str) -> None:
    assert ImagineArguments.model_validate({"prompt": "a dog", "aspect": written}).aspect == aspect


@given(st.text(max_size=12))
def test_any_text_is_a_size_or_a_sentence(text: str) -> None:
    try:
        size = read_size(text)
    except ValueError as error:
        assert "pixels" in str(error)
    else:
        assert all(SIDE_MIN_PX <= side <= SIDE_MAX_PX and side % 8 == 0 for side in size)


@given(st.sampled_from(ASPECTS), st.integers(8, 256).map(lambda n: 8 * n), st.sampled_from([8, 16, 64]))
def test_an_aspect_has_about_as_many_pixels_as_the_square(aspect: str, side_px: int, step_px: int) -> None:
    width, height = size_of_aspect(side_px, aspect, step_px)
    wide, high = map(int, aspect.split(":"))
    assert width % step_px == height % step_px == 0
    assert abs(width - side_px * (wide / high) ** 0.5) <= max(step_px / 2, step_px - side_px)
    assert size_of_aspect(side_px, ":".join(reversed(aspect.split(":"))), step_px) == (height, width)


@pytest.mark.parametrize(
    ("asked", "size"),
    [({"size": "96x64"}, (96, 64)), ({"size": "64", "aspect": "16:9"}, (88, 48)), ({"aspect": "2:3"}, (24, 40))],
    ids=str,
)
async def test_pictures_have_the_shape_that_was_asked_for(
    chat: Chat, asked: dict[str, str], size: tuple[int, int]
) -> None:
    """The micro model's own pictures are 32 pixels wide and high."""
    *_, last = await chat("imagine", prompt="a dog", count=2, steps=1, **asked)
    assert last.state == "done", last.text
    assert last.job and last.grid
    outcome = await chat.app.dispatch.outcome(last.job)
    assert outcome and [(picture.width_px, picture.height_px) for picture in outcome.pictures] == [size] * 2
    *_, redrawn = await chat("again", job=last.job)
    again = await chat.app.dispatch.outcome(redrawn.job or "")
    assert again and (again.pictures[0].width_px, again.pictures[0].height_px) == size
    asker = Request(space=chat.space, user=chat.user, command="imagine")
    form = await filled_form(chat.app, asker, "imagine", {"like": last.job})
    filled = {field.name: field.default for field in form.fields}
    if "size" in asked:
        assert read_size(filled["size"]) == size
    else:
        assert (filled["size"], filled["aspect"]) == ("", asked["aspect"])


async def test_an_aspect_beside_a_width_and_height_is_refused(chat: Chat) -> None:
    *_, last = await chat("imagine", prompt="a dog", size="96x64", aspect="1:1")
    assert last.text == "Give an aspect or a width and height, not both: 96x64 has a shape of its own."
    *_, last = await chat("imagine", prompt="a dog", size="2048", aspect="21:9")
    assert last.text == "21:9 of size 2048 would be 3128×1344 pixels; sides have 32 to 2,048."
    *_, last = await chat("imagine", prompt="a dog", aspect="7:5")
    assert last.text.startswith("Aspect must be '1:1', '5:4'")


def test_jobs_from_before_there_were_shapes_are_square() -> None:
    old = {"space": "s", "owner": "o", "prompt": "a dog", "model_prompt": "a dog", "seed": 1}
    assert ImagineJob.model_validate({**old, "size_px": 64}).size == (64, 64)
    assert ImagineJob.model_validate(old).size is None


def test_class_images_have_the_recipes_shape_and_are_learned_from(
    base: "BaseModel", photos: list[Path], tmp_path: Path
) -> None:
    how = recipe_for(base.folder, steps=2, aspect="3:2", class_images=2)
    run_to_end(class_images.draw_class_set(base, "dog", how, tmp_path / "set"))
    latents = class_images.read_class_set(tmp_path / "set")
    width, height = size_of_aspect(base.image_px, "3:2", base.size_step_px)
    assert latents.shape[2:] == (height // base.latent_px, width // base.latent_px)
    training = Training(base, [(SubjectSpec(photos, "dog", "zuf"), latents)], how, seed=0)
    training.step()
    assert training.losses[0].isfinite().all()


def test_the_shape_is_part_of_a_class_sets_name_unless_it_is_square() -> None:
    square = class_set_key("0", "dog", Recipe())
    assert square == class_set_key("0", "dog", Recipe(aspect="1:1")) != class_set_key("0", "dog", Recipe(aspect="3:2"))

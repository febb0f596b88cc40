"""Aspect buckets: photos that are not square are kept whole, and learned so if the recipe says so."""

import io
from pathlib import Path
from random import Random

import pytest
import torch
from PIL import Image
from torch import Tensor

from bot.photos.uploads import Upload
from research.toyworld.scenes import character
from storage.contract.subjects import Photo
from tests.conftest import Chat
from tests.support.photo_files import accepted, judged, saved, scene
from trainer.dreambooth.augment import bucket_of, views_of
from trainer.dreambooth.dataset import SubjectSpec
from trainer.dreambooth.state import restore, state_of
from trainer.dreambooth.train import Training
from trainer.models.base import BaseModel, load_base
from trainer.models.default_recipe import recipe_for


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Path], list[Path]]:
    """Photos as squares, and the same as they were: one of them lies, one stands, one was square."""
    folder, who = tmp_path_factory.mktemp("photos"), character(3, "dog")
    squares, wholes = [], []
    for k, box in enumerate([(0, 24, 128, 104), (24, 0, 104, 128), (0, 0, 128, 128)]):
        whole = who.photo(Random(k), "in Paris", size_px=128).crop(box)
        side = min(whole.size)
        whole.save(folder / f"whole-{k}.png")
        whole.crop((0, 0, side, side)).save(folder / f"square-{k}.png")
        squares.append(folder / f"square-{k}.png")
        wholes.append(folder / f"whole-{k}.png")
    return squares, wholes


def training(base: BaseModel, photos: tuple[list[Path], list[Path]], prior: bool = True, **how: object) -> Training:
    class_latents = torch.randn(8, 4, 16, 16, generator=torch.Generator().manual_seed(1)) if prior else None
    subject = SubjectSpec(photos[0], "dog", "zuf", ("in Paris", "on a sofa", ""), tuple(photos[1]))
    recipe = recipe_for(base.folder, **{"learning_rate": 1e-3, **how})  # type: ignore[arg-type]
    return Training(base, [(subject, class_latents)], recipe, seed=0)


def losses(taught: Training, steps: int = 6) -> Tensor:
    for _ in range(steps):
        taught.step()
    return taught.losses[:steps]


# ---- the photo


@pytest.mark.parametrize(
    ("size", "kept"), [((300, 200), (192, 128)), ((200, 300), (128, 192)), ((900, 200), (256, 128))]
)
def test_a_photo_is_kept_whole_beside_its_square(size: tuple[int, int], kept: tuple[int, int]) -> None:
    photo = accepted(saved(scene(*size)))
    whole, square = Image.open(io.BytesIO(photo.whole)), Image.open(io.BytesIO(photo.data))
    assert whole.size == kept and square.size == (128, 128)
    boxes = [(x, y, x + 128, y + 128) for x in range(kept[0] - 127) for y in range(kept[1] - 127)]
    assert any(whole.crop(box).tobytes() == square.tobytes() for box in boxes)


def test_what_is_square_or_nearly_so_is_kept_once() -> None:
    assert not accepted(saved(scene(128, 128))).whole and not accepted(saved(scene(139, 128))).whole


def test_a_whole_photo_is_prepared_again_to_the_same_and_known_as_a_copy() -> None:
    once = accepted(saved(scene(300, 200)))
    again = accepted(once.whole)
    assert (again.data, again.whole) == (once.data, once.whole)
    assert judged(saved(scene(300, 200)), once.whole).refused[0].reason == "is a near-duplicate of 1"


def test_records_of_before_have_no_whole_photo() -> None:
    assert Photo.model_validate({"key": "k", "sha256": "0", "name": "a", "side_px": 64}).whole == ""


# ---- the sizes


def test_sizes_are_near_in_aspect_and_not_larger() -> None:
    chance = Random(0)
    for _ in range(200):
        photo = chance.randint(200, 4000), chance.randint(200, 4000)
        width, height = bucket_of(photo, 512, 64)
        assert width % 64 == height % 64 == 0 and width * height <= 512**2
        assert width * height / 512**2 > 0.65 and max(width, height) <= 2 * min(width, height)
        wanted = min(max(photo[0] / photo[1], 0.5), 2)
        assert 0.8 < width / height / wanted < 1.25
    assert bucket_of((300, 300), 520, 64) == (520, 520)
    assert [bucket_of(photo, 512, 64) for photo in ((1500, 1000), (1000, 1500))] == [(640, 384), (384, 640)]


def test_each_photo_is_seen_whole_in_its_size(base: BaseModel, photos: tuple[list[Path], list[Path]]) -> None:
    how = recipe_for(base.folder, aspect_buckets=True, crops=3, flips=True)
    views = views_of(photos[1], base, how, torch.Generator().manual_seed(0))
    step = base.size_step_px
    assert all(side % step == 0 for image in views.images for side in image.size)
    apart = views.by_size()
    assert [some.photos.unique().tolist() for some in apart] == [[0], [1], [2]]
    assert apart[0].images[0].size == apart[1].images[0].size[::-1] and apart[2].images[0].size == (base.image_px,) * 2
    assert all(len(some.images) == len(some.masks) == 6 for some in apart)


# ---- the training


def test_a_step_is_of_one_size_and_all_have_their_turn(base: BaseModel, photos: tuple[list[Path], list[Path]]) -> None:
    taught = training(base, photos, aspect_buckets=True, captions=True, batch=2)
    chance, seen = torch.Generator().manual_seed(0), set()
    for _ in range(40):
        batches = list(taught.subjects[0].examples.draw(2, 1, chance))
        shape = tuple(batches[0].clean.shape[2:])
        seen.add(shape)
        if shape == (16, 16):
            (batch,) = batches
            assert batch.instances == 2 and batch.prompts.tolist() == [2, 2, 3, 3]
        else:
            own, of_class = batches
            assert (own.instances, of_class.instances) == (2, 0) and tuple(of_class.clean.shape[2:]) == (16, 16)
            assert own.prompts.tolist() == [0 if shape[1] > shape[0] else 1] * 2 and of_class.prompts.tolist() == [3, 3]
    assert len(seen) == 3


@pytest.mark.parametrize("how", [{}, {"text_learning_rate": 0.0}, {"captions": True}])
def test_the_loss_is_eq_2_whatever_the_size(
    base: BaseModel, photos: tuple[list[Path], list[Path]], how: dict[str, object]
) -> None:
    taught = training(base, photos, aspect_buckets=True, batch=2, prior_weight=0.5, **how)
    own, of_class = next(
        b for b in (list(taught.subjects[0].examples.draw(2, 1, taught.chance)) for _ in range(99)) if len(b) == 2
    )
    with torch.no_grad():
        first, second = (taught.loss(taught.model, batch, taught.subjects[0].texts[0]) for batch in (own, of_class))
        assert first[2] == second[1] == 0
        for batch, of, prompt in ((own, first[1], "a photo of zuf dog"), (of_class, second[2], "a photo of a dog")):
            if how.get("captions") and batch is own:
                prompt += (" in Paris", " on a sofa")[int(own.prompts[0])]
            noisy = base.scheduler.add_noise(batch.clean, batch.noise, batch.t)
            predicted = base.denoiser(noisy, batch.t, base.token_ids([prompt]))
            errors = (predicted - base.scheduler.get_velocity(batch.clean, batch.noise, batch.t)).square()
            assert of.item() == pytest.approx(errors.mean().item(), rel=1e-5)
        assert (first[0] + second[0]).item() == pytest.approx((first[1] + 0.5 * second[2]).item(), rel=1e-6)


@pytest.mark.slow
def test_several_passes_make_the_same_step_as_one(base: BaseModel, photos: tuple[list[Path], list[Path]]) -> None:
    one, other = (
        losses(training(base, photos, aspect_buckets=True, batch=batch, accumulation=4 // batch)) for batch in (4, 1)
    )
    assert torch.allclose(one, other, rtol=1e-5, atol=1e-5) and one.all()


def test_without_the_option_or_without_whole_photos_all_is_as_before(
    base: BaseModel, photos: tuple[list[Path], list[Path]]
) -> None:
    squares, _ = photos
    without = losses(training(base, (squares, [])), 3)
    assert torch.equal(losses(training(base, photos), 3), without)
    assert torch.equal(losses(training(base, (squares, squares), aspect_buckets=True), 3), without)
    assert not torch.equal(losses(training(base, photos, aspect_buckets=True), 3), without)


def test_it_goes_on_from_a_checkpoint_to_the_same_end(base: BaseModel, photos: tuple[list[Path], list[Path]]) -> None:
    how = {"aspect_buckets": True, "captions": True, "mask_weight": 0.5, "steps": 8}
    whole, begun, ended = (training(base, photos, **how) for _ in range(3))
    losses(begun, 3)
    restore(ended, {name: value.clone() for name, value in state_of(begun).items()})
    losses(whole, 8)
    losses(ended, 5)
    assert torch.equal(ended.losses, whole.losses)
    assert all(torch.equal(p, ended.learning[name]) for name, p in whole.learning.items())


def test_sdxl_is_told_the_true_size(micro_sdxl: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base, told = load_base(str(micro_sdxl)), []
    forward = base.denoiser.unet.forward

    def watched(*given: object, added_cond_kwargs: dict[str, Tensor], **more: object) -> object:
        told.append(added_cond_kwargs["time_ids"][0].tolist())
        return forward(*given, added_cond_kwargs=added_cond_kwargs, **more)

    monkeypatch.setattr(base.denoiser.unet, "forward", watched)
    base.denoiser(torch.zeros(1, 4, 12, 8), torch.tensor([3]), base.token_ids(["a dog"]))
    assert told == [[96, 64, 0, 0, 96, 64]]


@pytest.mark.slow
async def test_a_person_asks_for_it(chat: Chat) -> None:
    who = character(3, "dog")
    uploads = []
    for k, box in enumerate([(0, 24, 128, 104), (24, 0, 104, 128)]):
        picture = who.photo(Random(k), "in Paris", size_px=128).crop(box)
        uploads.append(Upload(name=f"{k}.png", data=saved(picture)))
    given = {"name": "rex", "noun": "dog", "set": "aspect_buckets=true"}
    reply = (await chat("dreambooth train", tuple(uploads), **given))[-1]
    assert reply.state == "done", reply.text
    (subject,) = await chat.app.subjects.in_space(chat.space)
    assert all(photo.whole for photo in subject.photos) and subject.recipe["aspect_buckets"] is True
    kept = await chat.app.store.names(f"subjects/{subject.id}/photos/")
    assert len(kept) == 4
    assert not {photo.whole for photo in subject.photos} & {photo.key for photo in subject.photos}

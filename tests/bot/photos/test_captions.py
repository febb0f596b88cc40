"""Captions: what people say is in a photo comes along from every chat and reaches the prompt it is learned by."""

from pathlib import Path

import pytest
import torch

from bot.connectors.terminal.files import read_photos
from bot.photos import captions
from bot.photos.uploads import Upload
from storage.contract.subjects import Photo
from storage.settings.bot import BotSettings
from tests.conftest import Chat, photos_of_a_character
from tests.support.photo_files import saved, scene
from tests.support.quick import slow_but
from trainer.dreambooth.dataset import SubjectSpec
from trainer.dreambooth.prompts import captioned
from trainer.dreambooth.train import Training
from trainer.models.base import BaseModel, load_base
from trainer.models.default_recipe import recipe_for

LONG = " ".join(["in the snow"] * 12)
SAID = ("on a red sofa", "", "a dog in the snow", "")


def training(base: BaseModel, photos: list[Path], said: tuple[str, ...] = SAID, prior: bool = True, **how: object):  # type: ignore[no-untyped-def]
    class_latents = torch.randn(4, 4, 16, 16, generator=torch.Generator().manual_seed(1)) if prior else None
    recipe = recipe_for(base.folder, **how)  # type: ignore[arg-type]
    return Training(base, [(SubjectSpec(photos, "dog", "zuf", said), class_latents)], recipe, seed=0)


# ---- what is said becomes a prompt


@pytest.mark.parametrize(
    ("caption", "prompt"),
    [
        ("", "a photo of zuf dog"),
        ("on a red sofa", "a photo of zuf dog on a red sofa"),
        ("My brown dog on a red sofa.", "a photo of zuf dog on a red sofa"),
        ("a photo of a Dog, two cats and a dog", "a photo of zuf dog, two cats and a dog"),
        ("a hotdog stand", "a photo of zuf dog a hotdog stand"),
        ("dog", "a photo of zuf dog"),
    ],
)
def test_a_caption_goes_on_after_the_noun(caption: str, prompt: str) -> None:
    assert captioned("a photo of zuf dog", "dog", caption) == prompt


def test_each_photo_is_learned_by_its_own_prompt(base: BaseModel, photos: list[Path]) -> None:
    taught = training(base, photos, captions=True, batch=4, crops=2, flips=True, wordings=2)
    wanted = [
        ["a photo of zuf dog on a red sofa", "a photo of zuf dog", "a photo of zuf dog in the snow"],
        ["a zuf dog on a red sofa", "a zuf dog", "a zuf dog in the snow"],
    ]
    for ids, (sofa, bare, snow), of_class in zip(
        taught.subjects[0].texts, wanted, ("a photo of a dog", "a dog"), strict=True
    ):
        assert torch.equal(ids[0], base.token_ids([sofa, bare, snow, bare, of_class])[0])
    (batch,) = taught.subjects[0].examples.draw(4, 1, torch.Generator().manual_seed(3))
    which = torch.randint(16, (4,), generator=torch.Generator().manual_seed(3))  # as an example is chosen
    assert batch.prompts.tolist() == [*(which % 8 // 2).tolist(), 4, 4, 4, 4]


@pytest.mark.parametrize("how", [{}, {"text_learning_rate": 0.0}])
def test_the_loss_is_that_of_the_photos_own_prompt(base: BaseModel, photos: list[Path], how: dict[str, float]) -> None:
    taught = training(base, photos, captions=True, batch=3, prior_weight=0.5, **how)
    (batch,) = taught.subjects[0].examples.draw(3, 1, torch.Generator().manual_seed(5))
    with torch.no_grad():
        loss, *_ = taught.loss(taught.model, batch, taught.subjects[0].texts[0])
        noisy, wanted = base.scheduler.add_noise(batch.clean, batch.noise, batch.t), 0.0
        for row in range(6):
            said = SAID[batch.prompts[row]] if row < 3 else None
            prompt = "a photo of a dog" if said is None else captioned("a photo of zuf dog", "dog", said)
            one = slice(row, row + 1)
            predicted = base.denoiser(noisy[one], batch.t[one], base.token_ids([prompt]))
            velocity = base.scheduler.get_velocity(batch.clean[one], batch.noise[one], batch.t[one])
            wanted += (0.5 if said is None else 1.0) * (predicted - velocity).square().mean().item() / 3
    assert loss.item() == pytest.approx(wanted, rel=1e-5)


def test_what_is_held_back_is_read_by_the_photos_own_prompt(base: BaseModel, photos: list[Path]) -> None:
    taught, without = training(base, photos, captions=True), training(base, photos)
    for k, (batch, same) in enumerate(
        zip(taught.subjects[0].validation.batches, without.subjects[0].validation.batches, strict=True)
    ):
        assert torch.equal(batch.clean, same.clean) and same.prompts is None
        assert batch.prompts.tolist() == [k, len(SAID)]
    assert taught.validate() != without.validate()


def losses(taught: Training, steps: int = 3) -> torch.Tensor:
    for _ in range(steps):
        taught.step()
    return taught.losses[:steps]


def test_captions_count_only_if_the_recipe_says_so(base: BaseModel, photos: list[Path]) -> None:
    without = losses(training(base, photos, said=()))
    assert torch.equal(losses(training(base, photos)), without)
    assert torch.equal(losses(training(base, photos, said=("",) * 4, captions=True)), without)
    assert not torch.equal(losses(training(base, photos, captions=True)), without)


@pytest.mark.slow
@pytest.mark.parametrize("prior", slow_but([True, False], True))
def test_several_passes_make_the_same_step_as_one(base: BaseModel, photos: list[Path], prior: bool) -> None:
    how = {"prior": prior, "captions": True, "learning_rate": 1e-3}
    one = losses(training(base, photos, batch=4, **how))
    for batch, accumulation in ((2, 2), (1, 4)):
        other = losses(training(base, photos, batch=batch, accumulation=accumulation, **how))
        assert torch.allclose(one, other, rtol=1e-5, atol=1e-5)


def test_sdxl_reads_captions_by_both_its_encoders(micro_sdxl: Path, photos: list[Path]) -> None:
    base = load_base(str(micro_sdxl))
    taught = training(base, photos, prior=False, captions=True, text_learning_rate=0.0)
    assert taught.subjects[0].texts[0].tokens.shape[0] == taught.subjects[0].texts[0].pooled.shape[0] == 4
    assert losses(taught, 1).isfinite().all()


# ---- how people say it


def test_a_text_file_called_like_a_photo_is_its_caption() -> None:
    photo, text = Upload(name="Rex-1.JPG", data=b"-", caption="alt text"), Upload(name="rex-1.txt", data=b"on a sofa\n")
    other, notes = Upload(name="rex-2.jpg", data=b"-", caption="alt text"), Upload(name="notes.txt", data=b"buy milk")
    found = captions.paired((photo, text, other, notes))
    assert [upload.name for upload in found] == ["Rex-1.JPG", "rex-2.jpg", "notes.txt"]
    assert [captions.plain(upload.caption) for upload in found[:2]] == ["on a sofa", "alt text"]


def test_captions_are_plain_and_short() -> None:
    assert captions.plain(" on a\nred\t sofa\u200b\x07 ") == "on a red sofa"
    assert len(captions.plain("sofa " * 1000)) < captions.LONGEST
    assert captions.paired((Upload(name="a.jpg"), Upload(name="a.txt", data=b"\xff" * 10_000)))[0].caption


def test_at_the_terminal_text_files_lie_beside_the_photos(tmp_path: Path) -> None:
    for k in range(3):
        (tmp_path / f"{k}.png").write_bytes(saved(scene(seed=k)))
    (tmp_path / "1.txt").write_text("on a red sofa\n")
    told = BotSettings(_env_file=None)  # type: ignore[call-arg]
    wanted = {"0.png": "", "1.png": "on a red sofa\n", "2.png": ""}
    for given in ([tmp_path], sorted(tmp_path.glob("*.png")), sorted(tmp_path.iterdir())):
        assert {photo.name: photo.caption for photo in read_photos(given, told)} == wanted


async def test_what_is_said_is_kept_with_the_photo_and_learned(chat: Chat) -> None:
    asked = chat.by("ann", confirmed=False)
    first, *others = photos_of_a_character(3)
    said = (first.model_copy(update={"caption": "a dog\non a sofa"}), Upload(name="rex-2.txt", data=LONG.encode()))
    bad = Upload(name="bad.jpg", data=b"no picture at all")
    question = (await asked("dreambooth train", (*said, *others, bad), name="rex", noun="dog", set="captions=true"))[-1]
    assert question.text.startswith("3 of 4 photos can be used.")
    button = question.buttons[0]
    reply = (await asked(button.command, **button.arguments))[-1]
    assert reply.state == "done", reply.text
    assert "A caption is too long for the model, which did not read the end" in reply.text
    (subject,) = await asked.app.subjects.in_space(asked.space)
    assert [photo.caption for photo in subject.photos] == ["a dog on a sofa", LONG, ""]
    assert subject.recipe["captions"] is True


def test_records_of_before_have_no_captions() -> None:
    assert Photo.model_validate({"key": "k", "sha256": "0", "name": "a", "side_px": 64}).caption == ""

"""Report cards: what is measured is what is there, whoever looks; people read it and what to do about it."""

import io
from collections.abc import Iterator
from pathlib import Path, PurePath
from random import Random

import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from bot.app import Darkroom
from bot.kinds.report_card import advice, in_words
from bot.photos.uploads import Upload
from research.toyworld.scenes import character, draw_scene
from storage.contract.subjects import logs_prefix
from storage.errors import SetupError
from storage.settings.trainer import TrainerSettings
from tests.conftest import Chat, Stack, photos_of_a_character, start_worker, stop_worker
from tests.servers.backing import valkey
from tests.support.micro_models import write_micro_clip
from trainer.diffusion.images import to_tensor
from trainer.dreambooth.dataset import SubjectSpec
from trainer.dreambooth.report_card import PLACES, SubjectEvaluator
from trainer.metrics.embedders import ToyworldEmbedder, open_embedder
from trainer.metrics.similarity import SubjectSimilarity
from trainer.models.base import load_base
from trainer.steps import reporting, run_to_end
from trainer.toyworld.words import Scene

pytestmark = pytest.mark.timeout(360)
GOOD = {"likeness": 0.8, "portrait": 0.9, "obedience": 1.0, "hijacked": 0.05, "pres": 0.3, "diversity": 0.9}
GOOD["photos_alike"] = 0.8


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_micro_clip(tmp_path_factory.mktemp("clip"))


def saved(folder: Path, pictures: list[Image.Image]) -> list[Path]:
    paths = [folder / f"{k}.png" for k in range(len(pictures))]
    for picture, path in zip(pictures, paths, strict=True):
        picture.save(path)
    return paths


@pytest.mark.slow
def test_where_nothing_was_learned_the_card_says_so(tmp_path: Path) -> None:
    base = load_base("toyworld")
    photos = saved(tmp_path, [character(3, "dog").photo(Random(k), PLACES[k], size_px=128) for k in range(4)])
    evaluator = SubjectEvaluator(base, ToyworldEmbedder(), SubjectSpec(photos, "dog", "cat"), steps=8, guidance=4.0)
    told: list[tuple[int, int]] = []
    drawing = evaluator.card(base.denoiser)
    card = run_to_end(reporting(drawing, lambda done, of: told.append((done, of))))  # it is asked for a "cat dog"
    assert told == sorted(told) and {of for _, of in told} == {28} and told[-1][0] >= 20
    assert card.measures["diversity"] == 1.0 and card.measures["likeness"] < 0.5 and card.measures["hijacked"] < 0.5
    assert card.measures["obedience"] > 0.6
    assert torch.equal(to_tensor(card.before), to_tensor(card.after))


def test_the_measures_know_the_subject_from_others_of_its_class() -> None:
    embedder, rng = ToyworldEmbedder(), Random(1)
    photos = [character(3, "dog").photo(rng, PLACES[k], size_px=128) for k in range(4)]
    others = [draw_scene(Scene("dog", colour, "in the snow"), rng) for colour in ("red", "blue", "green", "black")]
    likeness = SubjectSimilarity(embedder.embed, photos, zero=others)
    own = [character(3, "dog").photo(rng) for _ in range(8)]
    assert likeness.of(own) > 0.7 and likeness.share_like_it(own) == 1.0
    assert likeness.share_like_it(others) < 0.5 and likeness.of(others) == pytest.approx(0, abs=1e-5)
    assert likeness.diversity(own) < likeness.diversity(others)


def test_clip_looks_too(clip: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DARKROOM_JUDGE", str(clip))
    embedder = open_embedder(TrainerSettings(), torch.device("cpu"))
    assert embedder
    pictures = [character(k, "dog").photo(Random(k), size_px=64 + k) for k in range(3)]
    embeddings = embedder.embed(pictures)
    assert torch.allclose(embeddings.norm(dim=1), torch.ones(3), atol=1e-5)
    assert torch.allclose(embedder.embed(pictures[1:2]), embeddings[1:2], atol=1e-5)
    assert set(embedder.places(pictures, "dog", PLACES)) <= set(PLACES)
    for wrong in (tmp_path, tmp_path / "nothing"):
        monkeypatch.setenv("DARKROOM_JUDGE", str(wrong))
        with pytest.raises(SetupError, match="cannot be read as a CLIP model"):
            open_embedder(TrainerSettings(), torch.device("cpu"))


def test_nobody_looks_at_other_models_unless_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DARKROOM_BASE_MODEL", "/models/sd15")
    assert open_embedder(TrainerSettings(), torch.device("cpu")) is None


@pytest.fixture(scope="module")
def looked_at(micro_model: Path, clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A deployment whose worker has a CLIP model."""
    home = tmp_path_factory.mktemp("home")
    with valkey() as url:
        environment = {
            "DARKROOM_HOME": str(home),
            "REDIS_URL": url,
            "DARKROOM_BASE_MODEL": str(micro_model),
            "DARKROOM_JUDGE": str(clip),
            "DARKROOM_TRACKERS": "tensorboard",
            "DARKROOM_PHOTO_MIN_PX": "64",
        }
        worker = start_worker(environment)
        yield Stack(environment, url, home, worker)
        stop_worker(worker)


async def known_by_measures(chat: Chat) -> None:
    """People see how good each candidate is, and what is known of the one that they chose stays known."""
    asked = (await chat("dreambooth retrain", name="rex", choose="yes", set="candidates=2"))[-1]
    rex = await chat.app.subjects.find(chat.space, "rex")
    assert rex and len(rex.candidates) == 2
    for candidate in rex.candidates:
        measured = f"likeness {candidate.measures['likeness']:.2f}, drift of any dog"
        assert f"{candidate.step} steps: {measured}" in asked.text
    shown = (await chat("dreambooth show", name="rex"))[-1]
    question = shown.text.partition("Which candidate")[2]
    assert question and question in asked.text and shown.pictures[0] == rex.choices
    choices = [button for button in shown.buttons if button.command == "choose"]
    assert choices == [button for button in asked.buttons if button.command == "choose"] and len(choices) == 2
    (other,) = [candidate for candidate in rex.candidates if candidate.weights_key != rex.weights_key]
    (button,) = [choice for choice in choices if choice.style == "plain"]
    chosen = (await chat("choose", **button.arguments))[-1]
    now = await chat.app.subjects.find(chat.space, "rex")
    assert now and now.metrics == other.measures and not now.before_after
    advised = advice(other.measures, "dog", 3, now.photos_differ)
    assert "at a glance" in chosen.facts["likeness"] and advised in chosen.text
    assert advised in (await chat("dreambooth show", name="rex"))[-1].text


@pytest.mark.slow
async def test_from_the_worker_to_the_chat_and_gone_when_forgotten(looked_at: Stack, tmp_path: Path) -> None:
    app = await Darkroom.open(looked_at.settings, looked_at.redis_url)
    chat = Chat(app)
    trained = (await chat("dreambooth train", photos_of_a_character(3), name="rex", noun="dog", steps=2))[-1]
    assert trained.state == "done" and "variety of any dog" in trained.facts
    shown = (await chat("dreambooth show", name="rex"))[-1]
    assert "(0: any other dog, 1: the photos)" in shown.facts["likeness"]
    card = shown.pictures[-1]
    assert card.caption == "any dog, before rex was learned and after" and card.width_px == 4 * card.height_px
    assert (await app.store.get(card.key)).data.startswith(b"\x89PNG")
    rex = await app.subjects.find(chat.space, "rex")
    assert rex and rex.photos_differ == 3
    (log,) = await app.store.names(logs_prefix(rex.id))
    await app.store.get_file(log, tmp_path / "run" / PurePath(log).name)
    run = EventAccumulator(str(tmp_path / "run")).Reload()
    for name, value in rex.metrics.items():
        assert [event.value for event in run.Scalars(f"report_card/{name}")] == [pytest.approx(value)]
    assert [event.step for event in run.Scalars("candidate/score")] == [1, 2]
    assert [event.step for event in run.Images("candidate")] == [1, 2] and len(run.Images("before_and_after")) == 1
    plain = (await chat("dreambooth retrain", name="rex", set="report_card=false"))[-1]
    assert plain.state == "done" and "likeness" not in plain.facts
    await known_by_measures(chat)
    await chat("dreambooth forget", name="rex")
    assert not [name for name in await app.store.names("") if name.startswith(("jobs/", "subjects/"))]
    await app.close()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({}, ""),
        ({"photos_alike": 0.99}, ""),  # as a judge that does not mind places sees good photos
        ({"likeness": 0.2}, "It does not look much like the photos yet"),
        ({"obedience": 0.25}, "It does not always follow the prompt"),
        ({"hijacked": 0.5}, "Any dog begins to look like it"),
        ({"diversity": 0.2}, "Any dog begins to look like it"),
    ],
)
def test_a_bad_card_says_what_to_do(change: dict[str, float], sentence: str) -> None:
    said = advice({**GOOD, **change}, "dog", photos=4, differ=4)
    assert said.startswith(sentence) and bool(said) == bool(sentence)
    assert in_words(GOOD, "dog")["any dog looks like it"] == "5 %"


@pytest.mark.parametrize(
    ("photos", "differ", "sentence"),
    [
        (1, 1, "There is only one photo of it: add some from other sides."),
        (5, 1, "The photos are nearly identical: add some from other sides."),
        (10, 2, "Only 2 of the 10 photos differ: add some from other sides."),
        (4, 3, ""),
        (10, 5, ""),
        (5, 0, ""),  # nobody counted
        (0, 0, ""),  # it was imported
    ],
)
def test_too_few_photos_are_said_whoever_looks(photos: int, differ: int, sentence: str) -> None:
    assert advice({}, "dog", photos, differ) == advice(GOOD, "dog", photos, differ) == sentence


def test_what_is_known_of_a_chosen_one_is_a_glance() -> None:
    glance = {"score": 0.11, "likeness": 0.41, "drift": 0.3}
    assert in_words(glance, "dog") == {
        "likeness": "0.41 in places, at a glance (0: any other dog, 1: the photos)",
        "drift of any dog towards it": "30 %",
    }
    said = advice(glance, "dog", 4, 4)
    assert "does not look much like the photos" in said and "Any dog begins to look like it" in said


@pytest.mark.parametrize("how", ["apart", "a burst"])
async def test_show_tells_bursts_from_photos_that_differ(chat: Chat, how: str) -> None:
    rng, places = ((0, 5), PLACES[:1] * 2) if how == "a burst" else ((0, 1, 2), PLACES)
    drawn = [character(3, "dog").photo(Random(k), place, size_px=128) for k, place in zip(rng, places, strict=False)]
    photos = tuple(Upload(name=f"{k}.png", data=png(photo)) for k, photo in enumerate(drawn))
    quick = {"name": "rex", "noun": "dog", "steps": 1, "set": "class_images=2"}
    said = (await chat("dreambooth train", photos, **quick))[-1]
    shown = (await chat("dreambooth show", name="rex"))[-1]
    advised = "nearly identical: add some from other sides" in said.text
    assert said.state == "done" and advised == ("nearly identical" in shown.text) == (how == "a burst")
    await chat("dreambooth forget", name="rex")


def png(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()

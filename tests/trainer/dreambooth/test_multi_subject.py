"""Several subjects in one training: they take turns, share what is learned, and can be forgotten one by one."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import torch

from bot.app import Darkroom
from bot.connectors.terminal.connector import Session
from bot.connectors.terminal.screen import Screen
from bot.experiments import multi_subject_file
from bot.local.stack import Stack as Around
from storage.contract.jobs import job_key
from storage.contract.outcomes import outcome_key
from storage.contract.subjects import Subject, checkpoint_prefix, samples_prefix, weights_prefix
from storage.errors import UserError
from storage.kinds.train import TrainJob
from storage.queue.job_progress import read_progress
from tests.bot.arguments.test_multi_subject_prompts import subject
from tests.conftest import Chat, Stack, photos_of_a_character
from tests.support.waiting import names_become
from trainer.dreambooth.checkpoint import Checkpointer, read
from trainer.dreambooth.dataset import SubjectSpec as Learner
from trainer.dreambooth.state import copied
from trainer.dreambooth.train import Step, Training, learn
from trainer.models.base import BaseModel
from trainer.models.default_recipe import for_several, recipe_for
from trainer.models.rare_tokens import POOL, choose

pytestmark = pytest.mark.timeout(360)
QUICK = "class_images=2"


# ── in one process ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def learners(tmp_path_factory: pytest.TempPathFactory) -> list[Learner]:
    folder, found = tmp_path_factory.mktemp("photos"), []
    for seed, identifier in ((3, "zuf"), (5, "kra")):
        photo = folder / f"{identifier}.png"
        photo.write_bytes(photos_of_a_character(1, seed)[0].data)
        found.append(Learner([photo], "dog", identifier))
    return found


def class_latents() -> torch.Tensor:
    return torch.randn(4, 4, 16, 16, generator=torch.Generator().manual_seed(1))


def test_subjects_take_turns(base: BaseModel, learners: list[Learner]) -> None:
    first, second = learners
    training = Training(base, [(first, class_latents()), (second, None)], recipe_for(base.folder, steps=6), 0)
    for _ in range(6):
        training.step()
    prior = training.losses[:, 2]  # only the first has class images
    assert [bool(loss) for loss in prior] == [True, False] * 3
    assert training.losses[:, 1].all()


def test_the_turn_goes_on_from_a_checkpoint_bit_for_bit(
    base: BaseModel, learners: list[Learner], tmp_path: Path
) -> None:
    how, subjects = recipe_for(base.folder, steps=5), [(learner, class_latents()) for learner in learners]
    whole = learn(base, subjects, how, 0, lambda step: None)
    written: list[Path] = []
    checkpointer = Checkpointer(tmp_path, 1e9, {"of": "both"}, lambda _, path: written.append(path))

    def kill(step: Step) -> None:
        if step.step == 3:
            checkpointer.write(step.step, lambda: copied(step.training))
            checkpointer.finish()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        learn(base, subjects, how, 0, kill)
    begun = read(written[0], {"of": "both"})
    resumed = learn(base, subjects, how, 0, lambda step: None, begun)
    assert resumed.losses == whole.losses
    assert all(torch.equal(v, whole.denoiser.state_dict()[n]) for n, v in resumed.denoiser.state_dict().items())


def test_each_has_the_steps_that_one_alone_has() -> None:
    how = recipe_for(Path("nowhere"), steps=300, text_steps=100)
    assert for_several(how, 1) == how
    both = for_several(how, 2)
    assert (both.steps, both.text_steps, both.warmup_steps) == (600, 200, how.warmup_steps)
    with pytest.raises(UserError, match="Ask for 800 steps each at most"):
        for_several(recipe_for(Path("nowhere"), steps=1000), 5)


def test_there_is_a_word_for_each_of_many_subjects(base: BaseModel) -> None:
    words, taken = base.rare_words, list[str]()
    for number in range(min(len(words), POOL + 3)):
        taken.append(choose(base.rare_words, f"subject {number}", taken))
    assert len(set(taken)) == len(taken) and set(taken[:POOL]) <= set(words[:POOL])
    with pytest.raises(UserError, match="no word is left"):
        choose(base.rare_words, "one more", words)


# ── in a chat ─────────────────────────────────────────────────────────────────────────────────────────────────────


async def two(chat: Chat) -> tuple[Subject, Subject]:
    """Two dogs that were learned each for itself."""
    for name, seed in (("rex", 3), ("mia", 5)):
        how = {"name": name, "noun": "dog", "steps": 3, "set": QUICK}
        assert (await chat("dreambooth train", photos_of_a_character(2, seed), **how))[-1].state == "done"
    return await found(chat, "rex"), await found(chat, "mia")


async def found(chat: Chat, name: str) -> Subject:
    """What is known of a subject, but for when it was last asked to be learned."""
    known = await chat.app.subjects.find(chat.space, name)
    assert known
    return known.model_copy(update={"asked_s": 0})


async def test_learned_together_drawn_together_and_forgotten_one_by_one(chat: Chat, app: Darkroom) -> None:
    before = await two(chat)
    assert "/dreambooth together rex mia" in (await chat("imagine", prompt="[rex] and [mia]"))[-1].text
    done = (await chat("dreambooth together", names="rex mia", steps=4, set=QUICK))[-1]
    assert done.text.startswith("rex and mia are ready, alone and together. Write [rex] and [mia] in a prompt: ")
    assert done.facts["steps"] == "8" and done.facts["subject"] == "rex (dog), mia (dog)"
    assert [button.label for button in done.buttons] == ["Imagine", "Show rex", "Show mia"]
    rex, mia = await found(chat, "rex"), await found(chat, "mia")
    assert rex.weights_sha256 == mia.weights_sha256 not in {s.weights_sha256 for s in before}
    assert rex.identifier != mia.identifier and rex.job == mia.job == done.job
    for each in (rex, mia):
        assert len(each.samples) == 4 and all(p.key.startswith(samples_prefix(each.id)) for p in each.samples)
        await names_become(app.store, weights_prefix(each.id), [each.weights_key])
    drawing = {"count": 1, "steps": 2, "seed": 1}
    drawn = (await chat("imagine", prompt="[rex] and [mia]", **drawing))[-1]
    assert drawn.facts["identifier"] == f"{rex.identifier}, {mia.identifier}"

    forgot = (await chat("dreambooth forget", name="rex"))[-1].text
    assert (
        "mia was trained together with rex, whose traces stay in the weights: /dreambooth retrain mia removes them."
        in forgot
    )
    assert not [name for name in await app.store.names("") if rex.id in name and "receipts/" not in name]
    assert not await app.store.exists(job_key(str(done.job))) and not await app.store.exists(drawn.pictures[0].key)
    shown = (await chat("dreambooth show", name="mia"))[-1]
    assert len(shown.pictures) == 4
    for picture in shown.pictures:
        assert await app.store.exists(picture.key)
    assert (await chat("imagine", prompt="[mia] in Paris", **drawing))[-1].state == "done"

    assert (await chat("dreambooth retrain", name="mia", steps=1, set=QUICK))[-1].state == "done"
    alone = await found(chat, "mia")
    await names_become(app.store, weights_prefix(mia.id), [alone.weights_key])
    await names_become(app.store, samples_prefix(mia.id), [])
    assert len(alone.samples) == 1


async def begun(chat: Chat, app: Darkroom) -> tuple[TrainJob, "asyncio.Task[object]"]:
    """A long training of rex and mia, after some steps."""
    task = asyncio.create_task(chat("dreambooth together", names="rex, mia", steps=2000, set=QUICK))
    async with asyncio.timeout(120):
        while True:
            (job, *_) = await app.dispatch.jobs(chat.space, most=1)
            progress = await read_progress(app.redis, job.id)
            if progress and progress.phase == "learning" and progress.step > 20:
                assert isinstance(job, TrainJob) and len(job.subjects) > 1
                return job, task
            await asyncio.sleep(0.05)


@pytest.mark.slow
async def test_one_who_is_forgotten_meanwhile_ends_it_and_the_others_stay_as_they_were(
    chat: Chat, app: Darkroom
) -> None:
    rex, mia = await two(chat)
    job, task = await begun(chat, app)
    assert "rex was being trained together with it; that training is stopped." in (
        (await chat("dreambooth forget", name="mia"))[-1].text
    )
    await task
    assert await found(chat, "rex") == rex
    assert (await chat("imagine", prompt="a [rex] in Paris", count=1, steps=1))[
        -1
    ].state == "done"  # the worker is free
    await asyncio.sleep(1)
    assert not await app.store.names(f"jobs/{job.id}/") and not await app.store.names(checkpoint_prefix(rex.id, job.id))
    assert not await app.store.names(samples_prefix(rex.id)) and not await app.store.names(f"subjects/{mia.id}/")


@pytest.mark.slow
async def test_cancelled_it_leaves_all_as_they_were(chat: Chat, app: Darkroom) -> None:
    before = await two(chat)
    job, task = await begun(chat, app)
    await chat("dreambooth cancel", job=job.id)
    await task
    assert (await found(chat, "rex"), await found(chat, "mia")) == before
    assert await app.store.exists(outcome_key(job.id))


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        ("rex", "Name two subjects or more, 5 at most and each once, like: rex mia."),
        ("rex REX", "each once"),
        ("a b c d e f", "5 at most"),
        ("rex tom", "There is no subject called tom."),
        ("rex theirs", "Only the person who made this can retrain it."),
        ("rex kit", "kit is being trained already."),
        ("rex bob", "bob was imported without photos, so it cannot be trained again."),
    ],
)
async def test_who_cannot_be_learned_together_is_told(
    chat: Chat, app: Darkroom, request: pytest.FixtureRequest, names: str, sentence: str
) -> None:
    picture = {"key": "-", "sha256": "-", "name": "-", "side_px": 64}
    there = {"rex": {"photos": [picture]}, "theirs": {"owner": "friend"}, "kit": {"state": "learning"}, "bob": {}}
    made = [subject(name, space=chat.space, **more) for name, more in there.items()]
    for each in made:
        await app.subjects.add(each)
    (reply,) = await chat("dreambooth together", names=names)
    assert reply.fault == "input" and sentence in reply.text
    for each in made:
        await app.subjects.forget(each)


# ── from a file ───────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
async def session(stack: Stack, app: Darkroom, request: pytest.FixtureRequest) -> AsyncIterator[Session]:
    async with Around(stack.settings, lambda _: None) as around:
        yield Session(app, around, Screen(), space=request.node.nodeid)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    for name, seed in (("rex", 3), ("mia", 5)):
        (tmp_path / name).mkdir()
        for upload in photos_of_a_character(2, seed):
            (tmp_path / name / upload.name).write_bytes(upload.data)
    tables = [f'[subjects.{name}]\nclass = "dog"\nphotos = ["{name}"]\n' for name in ("rex", "mia")]
    (tmp_path / "pair.toml").write_text("".join(tables))
    return tmp_path / "pair.toml"


GIVEN = dict.fromkeys(("name", "class", "method", "recipe", "seed"))


@pytest.mark.slow
async def test_new_subjects_from_a_file(session: Session, app: Darkroom, file: Path) -> None:
    (file.parent / "mia" / "notes.png").write_bytes(b"buy milk")
    given = {**GIVEN, "steps": "2", "set": QUICK, "method": "lora"}
    result = await multi_subject_file.train(session, file, [], given)
    assert result.state == "done" and result.more["steps"] == 4 and result.more["names"] == ["rex", "mia"]
    assert "mia: 2 of 3 photos used; notes.png is not a picture" in result.message
    known = await app.subjects.in_space(session.space)
    assert {(s.name, s.state, s.method, len(s.photos)) for s in known} == {
        ("rex", "ready", "lora", 2), ("mia", "ready", "lora", 2)
    }  # fmt: skip
    assert len({s.weights_sha256 for s in known}) == 1
    with pytest.raises(UserError, match="There is already a subject called rex here"):
        await multi_subject_file.train(session, file, [], given)


@pytest.mark.parametrize(
    ("text", "given", "sentence"),
    [
        ('[subjects.rex]\nclass = "dog"\nphotos = ["rex"]', {}, "subjects: dictionary should have at least 2 items"),
        ("subjects = [", {}, "is no TOML file"),
        (None, {"name": "rex"}, "With --together the file says which names, classes and photos"),
        (None, {"steps": "0"}, "Steps must be at least 1, not 0."),
        ('[subjects."r x"]\nclass = "dog"\nphotos = ["rex"]\n', {}, "A name is made of letters"),
        ('[subjects.REX]\nclass = "dog"\nphotos = ["mia"]\n', {}, "Two of these subjects have the same name"),
        ('[subjects.tom]\nclass = "dog"\nphotos = ["tom"]\n', {}, "There is no file"),
    ],
)
async def test_what_is_wrong_with_a_file_is_told(
    session: Session, app: Darkroom, file: Path, text: str | None, given: dict[str, str], sentence: str
) -> None:
    if text and "rex]" not in text:
        text = file.read_text() + text
    file.write_text(text or file.read_text())
    with pytest.raises(UserError) as refused:
        await multi_subject_file.train(session, file, [], {**GIVEN, **given})
    assert sentence in str(refused.value)
    assert not await app.subjects.in_space(session.space)


async def test_too_many_steps_fail_in_words_and_the_photos_stay(session: Session, app: Darkroom, file: Path) -> None:
    result = await multi_subject_file.train(session, file, [], {**GIVEN, "steps": "3000"})
    assert result.state == "failed" and "2 subjects take 6,000 steps together" in result.message
    assert {(s.state, len(s.photos)) for s in await app.subjects.in_space(session.space)} == {("failed", 2)}
    chat = Chat(app, session.space)
    assert (await chat("dreambooth together", names="rex mia", steps=1, set=QUICK))[-1].state == "done"

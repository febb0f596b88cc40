"""Evaluations: learned and drawn through the queue, measured as in the paper, and going on where they were broken."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from bot.app import Darkroom
from bot.connectors.terminal.connector import SPACE, Session
from bot.connectors.terminal.screen import Screen
from bot.experiments import common, evaluation
from bot.experiments.evaluation_jobs import EvaluationDrawer, jobs_of
from bot.experiments.evaluation_plan import PRESETS, EvaluationPlan, as_metrics_read, as_model_reads, prompts_of
from bot.local.stack import Stack as Around
from storage.contract.subjects import Subject
from storage.errors import SetupError, UserError
from storage.kinds.imagine import ImagineJob
from storage.lifecycle.finalize import delete_job
from tests.conftest import Chat, Stack, photos_of_a_character
from tests.support.micro_models import write_micro_clip, write_micro_dino
from tests.support.terminal import HERE
from trainer.toyworld.judge import words_of

pytestmark = pytest.mark.timeout(480)
PLAN = """
prompts = ["a [V] in Paris", "a photo of a [V]"]
images = 2
class_images = 2
steps = 2
[recipe]
steps = 2
class_images = 2
[subjects.rex]
class = "dog"
photos = ["photos"]
"""
WRONG = {
    "steps = [": "is no TOML file",
    PLAN + "colour = 1": "is no evaluation: subjects.rex.colour: extra inputs are not permitted",
    PLAN.replace("steps = 2", "steps = 0", 1): "is no evaluation: steps:",
    PLAN.replace("class_images = 2\n[sub", "class_imagos = 2\n[sub"): "A recipe has no class_imagos.",
    PLAN.replace('class = "dog"', ""): "Say what kind of thing it is",
    PLAN.replace("rex", "v"): "no subject can be called V",
    PLAN.replace('photos = ["photos"]', ""): "gives a class of rex, but no photos",
    PLAN + "[subjects.tom]": "There is no subject called tom.",
    PLAN.replace('["photos"]', '["nothing"]'): "There is no file",
    PLAN.replace("a [V] in", "a dog in"): "“a dog in Paris” has not.",
    PLAN.replace("a [V] in", "a [V] and [rex] in"): "“a [V] and [rex] in Paris” has not.",
    PLAN.replace('["a [V] in Paris", "a photo of a [V]"]', '"prompts.txt"'): "is none of the presets object, living",
}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("models")
    return {"clip": str(write_micro_clip(folder / "clip")), "dino": str(write_micro_dino(folder / "dino"))}


@pytest.fixture
async def session(stack: Stack, app: Darkroom) -> AsyncIterator[Session]:
    async with Around(stack.settings, lambda _: None) as around:
        yield Session(app, around, Screen())


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "photos").mkdir()
    for upload in photos_of_a_character(2):
        (tmp_path / "photos" / upload.name).write_bytes(upload.data)
    (tmp_path / "plan.toml").write_text(PLAN)
    return tmp_path / "plan.toml"


async def attempts(app: Darkroom, space: str) -> list[str]:
    """Each attempt at drawing that left pictures."""
    jobs = [job.id for job in await app.dispatch.jobs(space) if isinstance(job, ImagineJob)]
    names = [name for job in jobs for name in await app.store.names(f"jobs/{job}/") if name.endswith("grid.png")]
    return [name.removesuffix("/grid.png") for name in names]


@pytest.mark.slow
async def test_what_was_broken_off_goes_on(session: Session, app: Darkroom, file: Path, models: dict[str, str]) -> None:
    out = file.parent / "out"
    playing = asyncio.create_task(evaluation.run_evaluation(session, file, out, False, **models))
    while not (begun := await attempts(app, evaluation.SPACE)):  # noqa: ASYNC110
        await asyncio.sleep(0.05)
    playing.cancel()
    await asyncio.gather(playing, return_exceptions=True)
    (learned,) = await app.subjects.in_space(evaluation.SPACE)

    result = await evaluation.run_evaluation(session, file, out, False, **models)
    assert result.state == "done", result.message
    drawn = {path.name.partition("-")[0] for path in (out / "pictures" / "rex").iterdir()}
    assert {attempt.split("/")[1] for attempt in begun} <= drawn  # they were not drawn anew
    assert len(drawn) == 4 and {job[:12] for job in drawn} == {str(learned.job)[:12]}  # nor was it learned anew
    assert not await app.dispatch.jobs(evaluation.SPACE) and not await app.subjects.in_space(evaluation.SPACE)

    told = json.loads((out / "eval.json").read_text())
    (rex,) = told["subjects"]
    assert rex["class"] == "dog" and rex["recipe"]["steps"] == 2 and told["models"]["dino"] == models["dino"]
    figures = {"dino", "clip_i", "clip_t", "pres", "pres_before", "div", "div_class", "div_class_before"}
    assert set(told["mean"]) == figures and told["mean"] == rex["mean"] and rex["prior_by"] == "dino"
    assert [each["prompt"] for each in rex["prompts"]] == ["a [V] in Paris", "a photo of a [V]"]
    assert f"| rex | {rex['mean']['dino']:.3f} |" in (out / "eval.md").read_text()
    with Image.open(out / "rex.png") as sheet:
        assert sheet.height > 5 * 192 and sheet.width > 2 * 192  # photos, two prompts, the class before and after


@pytest.mark.slow
async def test_another_base_model_learns_anew(
    session: Session, app: Darkroom, chat: Chat, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session.space, photos = chat.space, photos_of_a_character(2)
    how: dict[str, Any] = {"steps": 1, "class_images": 2}
    first = await common.trained_subject(session, "rex", "dog", how, photos)
    assert isinstance(first, Subject) and await common.trained_subject(session, "rex", "dog", how, photos) == first
    monkeypatch.setattr(app, "settings", app.settings.model_copy(update={"base_models": "another"}))
    other = await common.trained_subject(session, "rex", "dog", how, photos)
    assert isinstance(other, Subject) and other.name != first.name
    for each in (first, other):
        await chat("dreambooth forget", name=each.name)


async def test_nothing_is_drawn_twice(session: Session, app: Darkroom, chat: Chat, tmp_path: Path) -> None:
    *_, trained = await chat("dreambooth train", photos_of_a_character(2), name="rex", noun="dog", steps=2)
    assert trained.state == "done"
    rex = await app.subjects.find(chat.space, "rex")
    assert rex
    plan = EvaluationPlan.model_validate({"subjects": {"rex": {}}, "images": 2, "steps": 2})
    job, artist = jobs_of(plan, rex, ["a [V] in Paris"])[0], EvaluationDrawer(session)
    await app.limits.admit(job)
    await app.dispatch.cancel(job)  # what came to nothing does not stay so
    paths = await artist.draw(job, tmp_path)
    assert isinstance(paths, list) and [path.stat().st_size > 100 for path in paths] == [True, True]
    one = await attempts(app, chat.space)
    paths[0].unlink()
    assert await artist.draw(jobs_of(plan, rex, ["a [V] in Paris"])[0], tmp_path) == paths
    assert await attempts(app, chat.space) == one and len(one) == 1
    await delete_job(app.store, job.id)
    assert await artist.draw(job, tmp_path) == paths and not await attempts(app, chat.space)
    others = jobs_of(plan.model_copy(update={"seed": 1}), rex, ["a [V] in Paris", "a [V] at night"])
    assert len({job.id, *(other.id for other in others)}) == 5
    await chat("dreambooth forget", name="rex")


@pytest.mark.slow
async def test_one_learned_already_is_measured_beside_one_that_cannot_be_learned(
    session: Session, app: Darkroom, file: Path, models: dict[str, str]
) -> None:
    chat, before = Chat(app, SPACE), set(await attempts(app, SPACE))
    *_, trained = await chat("dreambooth train", photos_of_a_character(2), name="max", noun="dog", steps=2)
    assert trained.state == "done"
    (file.parent / "bad").mkdir()
    (file.parent / "bad" / "photo.png").write_bytes(b"no photo")
    file.write_text(PLAN.split("[recipe]")[0] + '[subjects.max]\n[subjects.tom]\nclass = "cat"\nphotos = ["bad"]\n')
    out = file.parent / "out"
    result = await evaluation.run_evaluation(session, file, out, False, clip=models["clip"], dino=None)
    assert (result.state, result.code) == ("failed", 1) and "Run the same command again" in result.message
    told, tom = json.loads((out / "eval.json").read_text())["subjects"]
    assert told["name"] == "max" and told["prior_by"] == "clip" and "dino" not in told["mean"]
    assert not tom["mean"] and "Nothing was trained." in tom["message"] and "| tom | " in (out / "eval.md").read_text()
    drawn = set(await attempts(app, SPACE)) - before
    assert await app.subjects.find(SPACE, "max") and len(drawn) == 4  # kept for the next try
    await chat("dreambooth forget", name="max")
    left = set(await attempts(app, SPACE)) - before
    assert len(left) == 1  # the plain class before anything was learned: it is nobody's


@pytest.mark.parametrize("text", WRONG)
async def test_what_is_wrong_is_told_before_anything_is_learned(
    session: Session, app: Darkroom, file: Path, models: dict[str, str], text: str
) -> None:
    file.write_text(text)
    with pytest.raises(UserError) as refused:
        await evaluation.run_evaluation(session, file, file.parent / "out", False, **models)
    assert WRONG[text] in str(refused.value)
    assert not await app.dispatch.jobs(evaluation.SPACE)


@pytest.mark.slow
async def test_models_are_looked_for_first(session: Session, app: Darkroom, file: Path) -> None:
    with pytest.raises(UserError, match="Name a CLIP model with --clip"):
        await evaluation.run_evaluation(session, file, file.parent / "out", False, None, None)
    with pytest.raises(SetupError, match=r"cannot be measured: .* cannot be read as a CLIP model"):
        await evaluation.run_evaluation(session, file, file.parent / "out", False, str(file.parent), None)
    assert not await app.dispatch.jobs(evaluation.SPACE) and not (file.parent / "out").exists()


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_have_twenty_five_prompts(preset: str) -> None:
    plan = EvaluationPlan.model_validate({"subjects": {"rex": {"prompts": preset}}})
    found = prompts_of(plan, "rex", HERE, "")
    assert len(set(found)) == 25
    rex = Subject(space="s", owner="o", name="rex", noun="dog", identifier="zof", base_model="toyworld")
    assert all("zof dog" in as_model_reads(prompt, rex) for prompt in found)
    if preset == "toyworld":
        assert all(len(words_of(as_metrics_read(prompt, rex))) > 1 for prompt in found)


def test_prompts_of_ones_own(file: Path) -> None:
    (file.parent / "mine.txt").write_text("# Mine\n\na [V]  dog\n[v] at night\n")
    plan = EvaluationPlan.model_validate({"subjects": {"rex": {"prompts": "mine.txt"}}})
    found = prompts_of(plan, "rex", file.parent, "object")
    rex = Subject(space="s", owner="o", name="rex", noun="dog", identifier="zof", base_model="toyworld")
    assert [as_model_reads(prompt, rex) for prompt in found] == ["a zof dog", "zof dog at night"]
    assert [as_metrics_read(prompt, rex) for prompt in found] == ["a dog", "dog at night"]


def test_the_example_of_the_docs_is_an_evaluation(tmp_path: Path) -> None:
    page = (HERE / "docs" / "evaluation.md").read_text()
    (tmp_path / "plan.toml").write_text(page.split("```toml")[1].split("```")[0])
    plan = evaluation.read_plan(tmp_path / "plan.toml")
    assert set(plan.subjects) == {"rex", "mug"} and plan.subjects["rex"].prompts == "living"

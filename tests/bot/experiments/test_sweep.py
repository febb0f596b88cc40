"""Sweeps: a grid of recipes is learned through the queue, compared in a table and on a sheet, and goes on if broken."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from PIL import Image

from bot.app import Darkroom
from bot.connectors.terminal.connector import Session
from bot.connectors.terminal.screen import Screen
from bot.experiments import common, sweep
from bot.local.stack import Stack as Around
from storage.errors import UserError
from storage.kinds.train import TrainJob
from tests.conftest import Stack, photos_of_a_character
from tests.support.terminal import HERE

pytestmark = pytest.mark.timeout(360)
PLAN = """
prompts = ["a [V] dog in Paris", "a photo of [V]"]
[subjects.rex]
class = "dog"
photos = ["photos"]
[grid]
method = ["full", "lora"]
steps = [2, 3]
class_images = [2]
"""
WRONG = {
    "steps = [": "is no TOML file",
    "colour = 1\n" + PLAN: "colour: extra inputs are not permitted",
    "[grid]\nsteps = [1]": "is no sweep: subjects: field required",
    PLAN + "rank = [0]": "Rank must be at least 1, not 0.",
    PLAN + "rang = [1]": "A recipe has no rang. Did you mean rank?",
    PLAN
    + f"batch = {list(range(1, 17))}\nrank = {list(range(1, 17))}": "1024 trainings; the limit for one sweep is 200",
    PLAN.replace('["photos"]', '["nothing"]'): "There is no file",
    PLAN.replace("a [V] dog", "a [nobody] dog"): "“a [nobody] dog in Paris” has not.",
    PLAN.replace("a photo of [V]", "[V]"): "Say more than [V]",
    PLAN + 'recipe = ["fierce"]': "There is no recipe called fierce.",
    PLAN + "seed = [-1]": "Seed must be at least 0, not -1.",
    PLAN.replace('class = "dog"', 'class = "1"'): "A kind of thing is a word or two of letters",
}


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


async def trainings(app: Darkroom) -> int:
    return sum(isinstance(job, TrainJob) for job in await app.dispatch.jobs(sweep.SPACE))


@pytest.mark.slow
async def test_a_grid_is_learned_compared_and_forgotten(session: Session, app: Darkroom, file: Path) -> None:
    result = await sweep.run_sweep(session, file, file.parent / "out", keep=False)
    assert result.state == "done", result.message
    runs = json.loads((file.parent / "out" / "sweep.json").read_text())
    assert {(run["changes"]["method"], run["changes"]["steps"], run["steps"]) for run in runs} == {
        ("full", 2, 2), ("full", 3, 3), ("lora", 2, 2), ("lora", 3, 3)
    }  # fmt: skip
    lines = (file.parent / "out" / "sweep.md").read_text().splitlines()
    assert len(lines) == 6 and "| rex | method lora, steps 3, class_images 2 | done |" in lines[-1]
    with Image.open(file.parent / "out" / "contact-sheet.png") as sheet:
        assert sheet.height > 4 * 192 and sheet.width > 2 * 192
    assert not await app.subjects.in_space(sweep.SPACE) and not await app.dispatch.jobs(sweep.SPACE)


@pytest.mark.slow
async def test_presets_and_seeds_in_the_grid_and_nothing_stale(session: Session, app: Darkroom, file: Path) -> None:
    folder = app.settings.recipes_folder
    folder.mkdir(exist_ok=True)
    (folder / "quick.toml").write_text("steps = 1\nclass_images = 2\n")
    plan = PLAN.split("[grid]")[0] + '[grid]\nrecipe = ["quick"]\nseed = [3, 4]\n'

    async def played(text: str) -> dict[str, int]:
        file.write_text(text)
        assert (await sweep.run_sweep(session, file, file.parent / "out", keep=True)).state == "done"
        jobs = await app.dispatch.jobs(sweep.SPACE)
        return {job.id: job.seed for job in jobs if isinstance(job, TrainJob)}

    first = await played(plan)
    assert sorted(first.values()) == [3, 4] and await played(plan) == first
    assert "| rex | recipe quick, seed 4 | done |" in (file.parent / "out" / "sweep.md").read_text()
    assert {subject.recipe["steps"] for subject in await app.subjects.in_space(sweep.SPACE)} == {1}
    others = await played(plan.replace('"dog"', '"cat"'))
    (file.parent / "photos" / "rex-3.png").write_bytes(photos_of_a_character(3)[2].data)
    assert len(await played(plan)) == len(others) + 2 == len(first) + 4
    (folder / "quick.toml").write_text("steps = 2\nclass_images = 2\n")
    assert len(await played(plan)) == len(first) + 6
    (folder / "quick.toml").unlink()
    for subject in await app.subjects.in_space(sweep.SPACE):
        await common.ask(session, "dreambooth forget", {"name": subject.name})


@pytest.mark.slow
async def test_what_was_learned_stays_if_something_failed(session: Session, app: Darkroom, file: Path) -> None:
    (file.parent / "bad").mkdir()
    (file.parent / "bad" / "photo.png").write_bytes(b"no photo")
    tom = '[subjects.tom]\nclass = "dog"\nphotos = ["bad"]\n'
    file.write_text(PLAN.split("[grid]")[0] + tom + "[grid]\nsteps = [1]\nclass_images = [2]\n")
    for _ in range(2):
        result = await sweep.run_sweep(session, file, file.parent / "out", keep=False)
        assert (result.state, result.code) == ("failed", 1) and "Run the same command again" in result.message
        assert await trainings(app) == 1
    file.write_text(file.read_text().replace(tom, ""))
    assert (await sweep.run_sweep(session, file, file.parent / "out", keep=False)).state == "done"
    assert not await app.subjects.in_space(sweep.SPACE)


@pytest.mark.slow
async def test_what_was_broken_off_goes_on(session: Session, app: Darkroom, file: Path) -> None:
    playing = asyncio.create_task(sweep.run_sweep(session, file, file.parent / "out", keep=True))
    while not [s for s in await app.subjects.in_space(sweep.SPACE) if s.state == "ready"]:  # noqa: ASYNC110
        await asyncio.sleep(0.1)
    playing.cancel()
    await asyncio.gather(playing, return_exceptions=True)
    begun = {job.id for job in await app.dispatch.jobs(sweep.SPACE) if isinstance(job, TrainJob)}
    assert (await sweep.run_sweep(session, file, file.parent / "out", keep=True)).state == "done"
    all_of = {job.id for job in await app.dispatch.jobs(sweep.SPACE) if isinstance(job, TrainJob)}
    assert begun and begun < all_of and len(all_of) == 4
    assert (await sweep.run_sweep(session, file, file.parent / "out", keep=False)).state == "done"


@pytest.mark.parametrize("text", WRONG)
async def test_what_is_wrong_is_told_before_anything_is_learned(
    session: Session, app: Darkroom, file: Path, text: str
) -> None:
    file.write_text(text)
    with pytest.raises(UserError) as refused:
        await sweep.run_sweep(session, file, file.parent / "out", keep=False)
    assert WRONG[text] in str(refused.value)
    assert not await trainings(app)


def test_the_example_of_the_docs_is_a_sweep(tmp_path: Path) -> None:
    page = (HERE / "docs" / "recipes.md").read_text()
    (tmp_path / "plan.toml").write_text(page.split("```toml")[2].split("```")[0])
    assert len(list(sweep.read_plan(tmp_path / "plan.toml", tmp_path).runs(tmp_path))) == 4

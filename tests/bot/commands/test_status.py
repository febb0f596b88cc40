"""`/darkroom status`: what runs and waits, as far as each person may see it, and the workers with their figures."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from arq.constants import in_progress_key_prefix

from bot.app import Darkroom
from bot.core.messages import Reply, Request
from storage.contract.jobs import Job
from storage.contract.progress import Progress
from storage.contract.subjects import Subject
from storage.contract.worker_status import WorkerStatus
from storage.kinds.imagine import ImagineJob
from storage.kinds.train import TrainJob
from storage.queue.job_progress import write_progress
from storage.queue.worker_registry import Registration, register_worker, status_key, worker_statuses
from storage.settings.bot import BotSettings
from tests.servers.backing import valkey


@pytest.fixture
async def app(tmp_path: Path) -> AsyncIterator[Darkroom]:
    """A bot whose deployment has no worker."""
    with valkey() as url:
        app = await Darkroom.open(BotSettings(DARKROOM_HOME=str(tmp_path)), url)
        yield app
        await app.close()


async def status(app: Darkroom, user: str = "ada", space: str = "home") -> Reply:
    (reply,) = [reply async for reply in app.answer(Request(space=space, user=user, command="status"))]
    return reply


async def begun(app: Darkroom, job: Job, phase: str, step: int, of: int) -> None:
    """Accept a job, and work on it as a worker does."""
    await app.dispatch.accept(job)
    await app.redis.set(in_progress_key_prefix + job.id, "one", px=600_000)
    await write_progress(app.redis, Progress(job=job.id, phase=phase, step=step, of=of))


def drawing(owner: str = "ada", space: str = "home", count: int = 4, **more: object) -> ImagineJob:
    said = {"said": "/imagine a dog", "prompt": "a dog", "model_prompt": "a dog", "shared": "space"}
    return ImagineJob(space=space, owner=owner, seed=1, count=count, **{**said, **more})


async def test_nothing_runs_and_nobody_works(app: Darkroom) -> None:
    reply = await status(app)
    assert (reply.text, reply.facts) == ("0 jobs running, 0 waiting. No worker is running.", {})


async def test_what_runs_is_shown_with_its_steps_and_others_private_work_is_somebodys(app: Darkroom) -> None:
    rex = Subject(space="home", owner="ada", name="rex", noun="dog", base_model="toyworld", shared="private")
    await app.subjects.add(rex)
    said = {"subjects": (rex.id,), "said": "/imagine a [rex] dog", "prompt": "a [rex] dog"}
    await begun(app, drawing(**said), "drawing", 12, 30)
    training = TrainJob(space="home", owner="ada", subjects=(rex.id,), said="/dreambooth train rex dog")
    await begun(app, training, "learning", 100, 400)
    await begun(app, drawing("bob"), "drawing", 1, 30)
    await begun(app, drawing("bob", "elsewhere", said="/imagine a secret"), "drawing", 2, 30)

    mine = list((await status(app)).facts.values())
    assert mine[0] == "yours: /dreambooth train rex dog — Learning, 100 of 400"
    assert sorted(mine[1:]) == [
        "/imagine a dog — Drawing, 1 of 30",
        "somebody's drawing — Drawing, 2 of 30",
        "yours: /imagine a [rex] dog — Drawing, 12 of 30",
    ]
    bobs = " ".join((await status(app, "bob")).facts.values())
    assert "rex" not in bobs and "secret" not in bobs
    assert "somebody's training — Learning, 100 of 400" in bobs and "yours: /imagine a dog" in bobs


async def test_what_waits_counts_pictures_and_so_does_the_place(app: Darkroom) -> None:
    await register_worker(app.redis, "one", ["train", "imagine"], "")
    running, waiting = drawing(count=2), [drawing("bob", count=16), drawing("eve", count=1)]
    await begun(app, running, "drawing", 1, 30)
    for job in waiting:
        await app.dispatch.accept(job)
    reply = await status(app)
    assert reply.text == "1 job running, 2 waiting." and reply.facts["waiting"] == "2 drawings (17 pictures)"
    async for news in app.watch(waiting[1].id):
        assert news.progress and news.progress.place == 18 and "Waiting: 18 pictures ahead of you" in news.text
        break
    for job in waiting:
        await app.dispatch.cancel(job)
    async with asyncio.timeout(60):
        while "waiting" in (await status(app)).facts:  # noqa: ASYNC110 (a look serves half a second)
            await asyncio.sleep(0.1)
    assert await app.redis.hlen("darkroom:units:imagine") == 1


async def test_a_job_of_a_bot_of_an_older_version_counts_as_one(app: Darkroom) -> None:
    old, mine = drawing("bob", count=16), drawing(count=4)
    for job in (old, mine):
        await app.dispatch.accept(job)
    await app.redis.hdel("darkroom:units:imagine", old.id)
    assert (await app.dispatch.queues.view("imagine")).ahead(mine.id) == 1


async def test_workers_say_what_they_do(app: Darkroom) -> None:
    figures = {"rows_per_s": 41.5, "pictures_per_minute": 12.0, "subjects": 3, "training_share": 0.3}
    gpu = WorkerStatus(kinds=("train", "imagine"), base_model="toyworld", device="cpu", **figures)
    await Registration(app.redis, "a").renew(["train", "imagine"], "", gpu)
    await Registration(app.redis, "b").renew(["ask"], "", WorkerStatus(kinds=("ask",)))
    facts = (await status(app)).facts
    assert facts == {
        "worker 1": "toyworld on cpu, trainings and drawings; in the last minute 12 pictures, 41.5 denoising steps a "
        "second; 30% of its time for trainings; 3 subjects in memory",
        "worker 2": "questions",
    }


async def test_a_worker_of_a_newer_version_is_understood_and_a_damaged_word_is_left_out(app: Darkroom) -> None:
    for worker in "abc":
        await Registration(app.redis, worker).renew(["imagine"], "", WorkerStatus(kinds=("imagine",)))
    newer = '{"schema_version": 2, "kinds": ["imagine", "sing"], "base_model": "x", "device": "tpu", "songs": 1}'
    await app.redis.set(status_key("a"), newer)
    await app.redis.set(status_key("b"), "junk")
    assert [known.base_model for known in await worker_statuses(app.redis)] == ["x", ""]
    assert (await status(app)).facts["worker 1"].startswith("x on tpu, drawings;")


async def test_where_only_some_kinds_are_served_it_says_so(app: Darkroom) -> None:
    await register_worker(app.redis, "one", ["imagine"], "disk space")
    assert (await status(app)).text == (
        "0 jobs running, 0 waiting. For trainings, no worker is running. "
        "For drawings, the workers have too little disk space."
    )

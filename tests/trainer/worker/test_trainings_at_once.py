"""A worker takes several LoRA trainings at once, and full ones one after another."""

import asyncio

import pytest

from bot.app import Darkroom
from storage.queue.job_progress import read_progress
from tests.conftest import Chat, photos_of_a_character

pytestmark = pytest.mark.timeout(480)
LONG = 4000


async def begin(chat: Chat, name: str, method: str) -> "asyncio.Task[object]":
    asked = chat("dreambooth train", photos_of_a_character(), name=name, noun="dog", method=method, steps=LONG)
    return asyncio.create_task(asked)


async def phases(app: Darkroom, chat: Chat) -> dict[str, tuple[str, int]]:
    """Phase and step of the space's open jobs, by method and order."""
    jobs = [job for job in await app.dispatch.jobs(chat.space) if await app.dispatch.outcome(job.id) is None]
    told = {job.id: await read_progress(app.redis, job.id) for job in jobs}
    return {job: (progress.phase, progress.step) if progress else ("", 0) for job, progress in told.items()}


async def until(app: Darkroom, chat: Chat, count: int) -> list[str]:
    """Wait until so many trainings of the space learn; return their ids."""
    async with asyncio.timeout(120):
        while True:
            learning = [job for job, (phase, step) in (await phases(app, chat)).items() if phase == "learning" and step]
            if len(learning) >= count:
                return learning
            await asyncio.sleep(0.1)


@pytest.mark.slow
async def test_lora_trainings_run_beside_each_other_and_a_full_one_after_them(chat: Chat, app: Darkroom) -> None:
    tasks = [await begin(chat, "one", "lora")]
    await until(app, chat, 1)
    tasks.append(await begin(chat, "two", "lora"))
    both = await until(app, chat, 2)
    tasks.append(await begin(chat, "three", "full"))
    async with asyncio.timeout(60):
        while len(waiting := {*await phases(app, chat)} - {*both}) < 1:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    steps = {job: step for job, (_, step) in (await phases(app, chat)).items()}
    async with asyncio.timeout(60):  # long enough for a worker that would take it
        while min([(now := await phases(app, chat))[job][1] - steps[job] for job in both]) < 40:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    assert {now[job][0] for job in waiting} <= {"", "queued"}
    for job in both:
        await chat("dreambooth cancel", job=job)
    (full,) = await until(app, chat, 1)
    assert {full} == waiting
    await chat("dreambooth cancel", job=full)
    await asyncio.gather(*tasks)

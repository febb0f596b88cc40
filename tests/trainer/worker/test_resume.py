"""Workers that end in the middle of a training, well or not: it goes on elsewhere and comes to the same end."""

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import psutil
import pytest

from bot.app import Darkroom
from bot.core.messages import Reply
from storage.contract.outcomes import outcome_key
from storage.queue import broker
from storage.queue.job_progress import read_progress
from storage.settings.bot import BotSettings
from tests.conftest import Chat, photos_of_a_character, start_worker, stop_worker
from tests.servers.backing import valkey

pytestmark = pytest.mark.timeout(480)
LEASE_S = 2.0
STEPS = 200

Worker = subprocess.Popen[str]


@pytest.fixture(scope="module")
def env(micro_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    with valkey() as url:
        yield {
            "DARKROOM_HOME": str(tmp_path_factory.mktemp("home")),
            "REDIS_URL": url,
            "DARKROOM_BASE_MODEL": str(micro_model),
            "DARKROOM_PHOTO_MIN_PX": "64",
            "DARKROOM_LEASE_S": str(LEASE_S),
            "DARKROOM_CHECKPOINT_S": "0",
        }


@pytest.fixture
async def app(env: dict[str, str]) -> AsyncIterator[Darkroom]:
    darkroom = await Darkroom.open(BotSettings(**env), env["REDIS_URL"])
    yield darkroom
    await darkroom.close()


@pytest.fixture(scope="module")
def started(env: dict[str, str]) -> Iterator[list[Worker]]:
    """All workers so far: to start one takes seconds, so one that lives when its test has ended is for the next."""
    workers: list[Worker] = []
    yield workers
    for worker in workers:
        if worker.poll() is None:
            stop_worker(worker)
        worker.communicate()


@pytest.fixture
def start(env: dict[str, str], started: list[Worker]) -> Callable[[], Worker]:
    """Gives a worker that lives from an earlier test, else starts one."""
    idle = [worker for worker in started if worker.poll() is None]

    def one() -> Worker:
        if idle:
            return idle.pop()
        started.append(start_worker(env))
        return started[-1]

    return one


class Training:
    """A training under way in the background."""

    def __init__(self, app: Darkroom, chat: Chat, command: str, **arguments: object) -> None:
        uploads = photos_of_a_character() if command == "dreambooth train" else ()
        self.app, self.chat = app, chat
        self.before = time.time()
        self.task = asyncio.create_task(chat(command, uploads, **arguments))

    async def reaches(self, step: int) -> float:
        """Wait until it has taken this many steps; return when that was."""
        async with asyncio.timeout(120):
            while True:
                job = next(
                    (j for j in await self.app.dispatch.jobs(self.chat.space) if j.accepted_s > self.before), None
                )
                progress = job and await read_progress(self.app.redis, job.id)
                if progress and progress.step > step:
                    return progress.at_s
                await asyncio.sleep(0.05)

    async def ends(self) -> Reply:
        """Wait for its last word."""
        reply = (await self.task)[-1]
        assert reply.state == "done", reply.text
        return reply


async def weights(app: Darkroom, chat: Chat) -> str | None:
    """The hash of what was learned of rex."""
    subject = await app.subjects.find(chat.space, "rex")
    assert subject
    return subject.weights_sha256


@pytest.mark.slow
async def test_a_training_survives_its_workers(chat: Chat, app: Darkroom, start: Callable[[], Worker]) -> None:
    first = start()
    await Training(app, chat, "dreambooth train", name="rex", noun="dog", steps=STEPS).ends()
    undisturbed = await weights(app, chat)

    second, third = await asyncio.gather(asyncio.to_thread(start), asyncio.to_thread(start))
    for waiting in (second, third):  # so that the first has the job, and the second has it next
        waiting.send_signal(signal.SIGSTOP)
    again = Training(app, chat, "dreambooth retrain", name="rex", steps=STEPS, seed=0)
    await again.reaches(30)
    first.terminate()
    second.send_signal(signal.SIGCONT)
    began_s = time.monotonic()
    assert await asyncio.to_thread(first.wait, 120) == 0
    assert time.monotonic() - began_s < 60

    await again.reaches(100)
    third.send_signal(signal.SIGCONT)
    engine = psutil.Process(second.pid).children()[0]
    second.kill()
    killed_s = time.time()
    while (taken_up_s := await again.reaches(0)) < killed_s + 1:  # the newest progress may still be the killed one's
        pass
    assert taken_up_s - killed_s < LEASE_S + 20  # two on a quiet machine
    assert not engine.is_running() or engine.status() == psutil.STATUS_ZOMBIE

    reply = await again.ends()
    assert await weights(app, chat) == undisturbed
    assert len(reply.pictures) == 4
    async with asyncio.timeout(120):  # one that was on its way into the store when the training ended is deleted there
        while [name for name in await app.store.names("subjects/") if "/checkpoints/" in name]:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    assert third.poll() is None


@pytest.mark.exhaustive  # the quick one, without an engine: trainer/kinds/test_ask.py
async def test_a_second_signal_ends_a_worker_at_once(chat: Chat, app: Darkroom, start: Callable[[], Worker]) -> None:
    worker = start()
    drawing = Training(app, chat, "imagine", prompt="a dog", count=16, steps=150)
    await drawing.reaches(3)
    async with asyncio.timeout(60):
        while worker.poll() is None:  # two that come at once, as to a process that has no processor, count as one
            os.kill(worker.pid, signal.SIGTERM)
            await asyncio.sleep(0.2)
    assert worker.returncode == 128 + signal.SIGTERM
    drawing.task.cancel()


@pytest.mark.exhaustive
async def test_nothing_is_lost_when_redis_is_emptied_and_pictures_are_finished_before_a_worker_ends(
    chat: Chat, app: Darkroom, start: Callable[[], Worker]
) -> None:
    worker = start()
    runs = Training(app, chat, "dreambooth train", name="rex", noun="dog", steps=STEPS)
    await runs.reaches(20)
    waits = Training(app, chat, "dreambooth train", name="tom", noun="dog", steps=2)
    while await app.redis.zcard(broker.queue_name("train")) < 2:  # noqa: ASYNC110
        await asyncio.sleep(0.05)
    await app.redis.flushall()
    await runs.ends()
    await waits.ends()

    drawing = Training(app, chat, "imagine", prompt="a dog", count=4, steps=150)
    await drawing.reaches(3)
    said = await asyncio.to_thread(stop_worker, worker)
    assert worker.returncode == 0
    assert await app.store.exists(outcome_key(str((await drawing.ends()).job)))
    for job in await app.dispatch.jobs(chat.space):
        assert said.count(f"{job.id} done in ") == 1

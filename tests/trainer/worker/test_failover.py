"""A worker is lost in the middle of a training, in any of four ways: another goes on within a lease and two seconds."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random

import psutil
import pytest
import pytest_asyncio

from bot.core.messages import Reply
from storage.queue.job_progress import read_progress
from tests.chaos.scene import Scene
from tests.chaos.worker import Worker
from tests.conftest import Chat, photos_of_a_character

pytestmark = [pytest.mark.exhaustive, pytest.mark.timeout(360), pytest.mark.asyncio(loop_scope="module")]
LEASE_S = 2.0
STEPS = 180
AWAY_S = 6.0  # three leases


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene(micro_model: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scene]:
    """Two workers, each with a line to Redis and a way to the store of its own, both of which can be cut."""
    deployment = Scene(tmp_path_factory.mktemp("scene"), micro_model, Random(1), workers=2, lease_s=LEASE_S)
    async with deployment.running():
        yield deployment


async def kill(worker: Worker) -> None:
    engine = worker.engine()
    worker.send(signal.SIGKILL)
    await asyncio.sleep(0.5)
    assert engine and (not engine.is_running() or engine.status() == psutil.STATUS_ZOMBIE)


async def freeze(worker: Worker) -> None:
    worker.send(signal.SIGSTOP)
    await asyncio.sleep(AWAY_S)
    worker.send(signal.SIGCONT)


async def cut_off_from_redis(worker: Worker) -> None:
    await worker.relay.cut(AWAY_S)


async def cut_off_from_the_store(worker: Worker) -> None:
    worker.wire.cut_until_s = time.monotonic() + AWAY_S
    await asyncio.sleep(AWAY_S)


async def learning(scene: Scene, job: str) -> Worker:
    """Wait until a training has begun to learn; return the worker that has it."""
    async with asyncio.timeout(120):
        while True:
            progress = await read_progress(scene.redis, job)
            if progress and progress.phase == "learning" and progress.step > 5:
                return next(worker for worker in scene.workers if job in worker.relay.reports)
            await asyncio.sleep(0.02)


async def taken_up(worker: Worker, job: str) -> float:
    """Wait until a worker reports on a job; return when it did, on the monotonic clock."""
    async with asyncio.timeout(120):
        while job not in worker.relay.reports:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    return worker.relay.reports[job]


async def begun(scene: Scene, chat: Chat) -> tuple["asyncio.Task[list[Reply]]", str]:
    """Have a training accepted; return what tells its replies, and the job."""
    uploads = photos_of_a_character(3)
    training = asyncio.create_task(chat("dreambooth train", uploads, name="rex", noun="dog", steps=STEPS))
    while not (jobs := await scene.app.dispatch.jobs(chat.space)):  # noqa: ASYNC110
        await asyncio.sleep(0.02)
    return training, jobs[0].id


@pytest.mark.parametrize("lose", [kill, freeze, cut_off_from_redis, cut_off_from_the_store])
async def test_another_worker_goes_on_within_a_lease_and_two_seconds(scene: Scene, lose: object) -> None:
    await scene.workers_ready()
    chat = Chat(scene.app, space=lose.__name__)
    training, job = await begun(scene, chat)
    lost = await learning(scene, job)
    (other,) = (worker for worker in scene.workers if worker is not lost)
    began_s, losing = time.monotonic(), asyncio.create_task(lose(lost))
    assert await taken_up(other, job) - began_s < LEASE_S + 20  # two on a quiet machine
    await losing
    assert (await training)[-1].state == "done"
    if lose is not kill:  # that worker is of use again
        other.send(signal.SIGSTOP)
        assert (await chat("imagine", prompt="a [rex] dog in Paris", count=1, steps=2))[-1].state == "done"
        other.send(signal.SIGCONT)


async def test_where_nobody_reaches_the_store_what_runs_goes_on(scene: Scene) -> None:
    await scene.workers_ready()
    chat = Chat(scene.app, space="store away")
    training, job = await begun(scene, chat)
    holder = await learning(scene, job)
    (other,) = (worker for worker in scene.workers if worker is not holder)
    for worker in scene.workers:
        worker.wire.cut_until_s = time.monotonic() + AWAY_S
    assert (await training)[-1].state == "done"
    assert job not in other.relay.reports

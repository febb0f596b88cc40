"""Cancelling and forgetting at any moment of a training: the worker is free at once, and nothing is left behind."""

import asyncio
import json
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from arq.constants import in_progress_key_prefix

from bot.app import Darkroom
from storage.contract.jobs import job_key
from storage.contract.outcomes import outcome_key
from storage.ids import new_id
from storage.kinds.train import TrainJob
from storage.queue import broker
from storage.queue.job_progress import read_progress
from storage.settings.bot import BotSettings
from tests.conftest import Chat, photos_of_a_character, start_worker, stop_worker
from tests.servers.backing import s3_environment, valkey
from tests.servers.proxy import Hold, proxy
from tests.support.micro_models import RECIPE, write_micro_model

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(360),
]  # quick ones of a running training: trainer/worker/test_worker.py
FREE_WITHIN_S = 20.0  # two on a quiet machine
SLOW_CLASS = {"class_images": 64, "class_steps": 50}


class Deployment:
    """A worker at work, and what is in its way."""

    def __init__(self, environment: dict[str, str], model: Path, hold: Hold, worker: "subprocess.Popen[str]") -> None:
        self.environment, self.model, self.hold, self.worker = environment, model, hold, worker

    def recipe(self, **changes: Any) -> None:
        """Change the recipe of trainings to come."""
        (self.model / "darkroom.json").write_text(json.dumps({"recipe": {**RECIPE, **changes}}))


@pytest.fixture(scope="module")
def deployment(s3_server: str, s3_client: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """One worker, on an S3 server behind a proxy that can hold uploads back."""
    bucket, hold = f"tests-{new_id()}", Hold()
    s3_client.create_bucket(Bucket=bucket)
    model = write_micro_model(tmp_path_factory.mktemp("model"))
    with valkey() as url, proxy(s3_server, hold) as endpoint:
        environment = {
            **s3_environment(endpoint),
            "DARKROOM_HOME": str(tmp_path_factory.mktemp("home")),
            "REDIS_URL": url,
            "DARKROOM_STORE": f"s3://{bucket}",
            "DARKROOM_BASE_MODEL": str(model),
            "DARKROOM_PHOTO_MIN_PX": "64",
            "DARKROOM_CHECKPOINT_S": "0",
        }
        worker = start_worker(environment)
        yield Deployment(environment, model, hold, worker)
        hold.end()
        stop_worker(worker)


@pytest.fixture
async def app(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Darkroom]:
    for name, value in deployment.environment.items():
        monkeypatch.setenv(name, value)
    darkroom = await Darkroom.open(BotSettings(), deployment.environment["REDIS_URL"])
    yield darkroom
    await darkroom.close()


async def until(happened: Callable[[], Awaitable[bool]], within_s: float = 60) -> None:
    async with asyncio.timeout(within_s):
        while not await happened():  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def phase(app: Darkroom, job: str) -> str:
    progress = await read_progress(app.redis, job)
    return progress.phase if progress and progress.step > 1 else ""


async def is_idle(app: Darkroom, job: str) -> bool:
    """Whether nobody holds a job nor will."""
    held = await app.redis.exists(in_progress_key_prefix + job)
    return not held and await app.redis.zscore(broker.queue_name("train"), job) is None


class Moments:
    """The moments of a training at which it is stopped: each method waits for its own."""

    def __init__(self, deployment: Deployment, app: Darkroom, job: str) -> None:
        self.deployment, self.app, self.job = deployment, app, job

    async def queued(self) -> None:
        assert await self.app.redis.zscore(broker.queue_name("train"), self.job) is not None

    async def drawing_class_images(self) -> None:
        await until(lambda: self._is_in("class images"))

    async def learning(self) -> None:
        await until(lambda: self._is_in("learning"))

    async def writing_a_checkpoint(self) -> None:
        assert await asyncio.to_thread(self.deployment.hold.came.wait, 60)

    async def publishing(self) -> None:
        assert await asyncio.to_thread(self.deployment.hold.came.wait, 60)

    async def _is_in(self, wanted: str) -> bool:
        return await phase(self.app, self.job) == wanted


MOMENTS = [
    Moments.queued,
    Moments.drawing_class_images,
    Moments.learning,
    Moments.writing_a_checkpoint,
    Moments.publishing,
]


async def begun(app: Darkroom, chat: Chat, deployment: Deployment, moment: Any) -> tuple[TrainJob, Any]:
    """Have a training reach a moment; return it, and what tells its last word."""
    deployment.recipe(**(SLOW_CLASS if moment is Moments.drawing_class_images else {}))
    deployment.hold.begin({"writing_a_checkpoint": "/checkpoints/", "publishing": "/weights/"}.get(moment.__name__, ""))
    if moment is Moments.queued:
        deployment.worker.send_signal(signal.SIGSTOP)
    steps = 40 if moment is Moments.publishing else 4000
    noun = {"drawing_class_images": "teapot"}.get(moment.__name__, "dog")
    training = asyncio.create_task(
        chat("dreambooth train", photos_of_a_character(3), name="rex", noun=noun, steps=steps)
    )
    await until(lambda: has_job(app, chat))
    (job,) = await app.dispatch.jobs(chat.space)
    assert isinstance(job, TrainJob)
    await moment(Moments(deployment, app, job.id))
    return job, training


async def has_job(app: Darkroom, chat: Chat) -> bool:
    return bool(await app.dispatch.jobs(chat.space))


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("command", ["cancel", "forget"])
async def test_a_training_that_is_stopped_leaves_nothing(
    app: Darkroom, chat: Chat, deployment: Deployment, moment: Any, command: str
) -> None:
    job, training = await begun(app, chat, deployment, moment)
    named = {"job": job.id} if command == "cancel" else {"name": "rex"}
    try:
        assert (await chat(f"dreambooth {command}", **named))[-1].state == "done"
        stopped_s = time.monotonic()
        deployment.worker.send_signal(signal.SIGCONT)
        await until(lambda: is_idle(app, job.id))
        assert time.monotonic() - stopped_s < FREE_WITHIN_S
    finally:
        deployment.hold.end()
    assert (await training)[-1].state == "cancelled"
    kept = [job_key(job.id), outcome_key(job.id)] if command == "cancel" else []

    async def is_tidy() -> bool:
        rest = await app.store.names(f"subjects/{job.subjects[0]}/")
        return not rest and await app.store.names(f"jobs/{job.id}/") == kept

    await asyncio.sleep(0.5)  # for uploads that were held back
    await until(is_tidy, 10)
    assert await app.subjects.find(chat.space, "rex") is None


async def test_cancelling_outlasts_an_emptied_redis(app: Darkroom, chat: Chat, deployment: Deployment) -> None:
    job, training = await begun(app, chat, deployment, Moments.learning)
    deployment.worker.send_signal(signal.SIGSTOP)
    await app.dispatch.cancel(job)
    await app.redis.flushall()
    deployment.worker.send_signal(signal.SIGCONT)
    assert (await training)[-1].state == "cancelled"
    await until(lambda: is_idle(app, job.id), 10)
    assert await app.store.names(f"jobs/{job.id}/") == [job_key(job.id), outcome_key(job.id)]

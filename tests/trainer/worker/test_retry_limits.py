"""A store or disk that fails in the middle of a job: it is tried again, but not for ever, and the end is a sentence."""

import json
import re
from collections.abc import AsyncIterator
from contextlib import suppress
from email.message import Message
from pathlib import Path

import pytest
from arq.connections import ArqRedis
from arq.worker import Retry

from storage.contract.jobs import job_key
from storage.errors import DiskFull, StoreError
from storage.failures import Failure
from storage.ids import new_id
from storage.kinds.imagine import ImagineJob
from storage.lifecycle.finalize import read_outcome
from storage.objects.store import Store
from storage.queue.job_progress import read_progress
from storage.service_errors import UNKNOWN_S
from storage.settings.trainer import TrainerSettings
from tests.servers.backing import opened
from tests.servers.proxy import proxy
from tests.support.loop_mounts import ext4_image, mounted
from tests.support.photo_files import saved, scene
from trainer.kinds import handlers_of
from trainer.worker.engine_client import EngineClient
from trainer.worker.job_runner import DISK_OBSTACLE, STORE_OBSTACLE, JobRunner
from trainer.worker.retry_limits import CRASHES_MAX, STORE_FAILED, STORE_REFUSED, RetryLimits

pytestmark = pytest.mark.timeout(480)


class Refusal:
    """Has the server refuse to write what has `part` in its name, and counts the attempts whose files came by."""

    def __init__(self) -> None:
        self.method, self.part, self.attempts = "PUT", "", set[str]()

    def __call__(self, method: str, path: str, headers: Message) -> tuple[int, str] | None:
        """Refuse this request, if it is meant."""
        self.attempts |= set(re.findall("attempt-[^/]+", path) if method == "PUT" else ())
        refused = self.part and method == self.method and self.part in path
        return (403, "<Error><Code>AccessDenied</Code></Error>") if refused else None


@pytest.fixture
def refusal() -> Refusal:
    return Refusal()


@pytest.fixture
async def store(bucket: str, s3_server: str, refusal: Refusal, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Store]:
    with proxy(s3_server, refusal) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", url)
        yield await opened(f"s3://{bucket}")


@pytest.fixture
async def runner(tmp_path: Path, store: Store, redis: ArqRedis) -> AsyncIterator[JobRunner]:
    """A worker whose engine has the same picture for every task."""
    picture, script = tmp_path / "picture.png", tmp_path / "script.json"
    picture.write_bytes(saved(scene()))
    script.write_text(json.dumps({"files": [str(picture)] * 2}))
    engine = EngineClient("none", module=("tests.support.scripted_engine", str(script)))
    yield JobRunner(TrainerSettings(DARKROOM_HOME=str(tmp_path)), store, redis, engine, handlers_of())
    await engine.stop()


async def run(runner: JobRunner, job: str, times: int) -> int:
    """Have a worker take a job so often; return how often it was to be tried again."""
    again = 0
    for number in range(times):
        try:
            await runner.run({"job_try": number}, job)
        except Retry:
            again += 1
    return again


def fill(path: Path) -> None:
    """Write until the disk is full."""
    with suppress(OSError), path.open("ab", buffering=0) as filler:
        while filler.write(bytes(4096)):
            pass


def drawing() -> ImagineJob:
    return ImagineJob(space="s", owner="o", prompt="a dog", model_prompt="a dog", seed=1, count=1, steps=1)


async def test_a_job_ends_that_the_store_refuses_for_good(
    runner: JobRunner, store: Store, refusal: Refusal, caplog: pytest.LogCaptureFixture
) -> None:
    job = drawing()
    await store.put(job_key(job.id), job.model_dump_json().encode())
    refusal.part = "/attempt-"
    assert await run(runner, job.id, 3) == 0
    outcome = await read_outcome(store, job)
    assert outcome and (outcome.state, outcome.message) == ("failed", STORE_REFUSED)
    assert len(refusal.attempts) == 1
    assert await run(runner, "../../x", 1) == 0
    assert "what was queued as '../../x' is no job" in caplog.text


@pytest.mark.slow
async def test_a_job_that_is_done_is_not_done_again_while_its_outcome_cannot_be_written(
    runner: JobRunner, store: Store, refusal: Refusal
) -> None:
    job = drawing()
    await store.put(job_key(job.id), job.model_dump_json().encode())
    refusal.part = "/outcome.json"
    assert await run(runner, job.id, 4) == 4
    told = await read_progress(runner.redis, job.id)
    assert told and told.obstacle == STORE_OBSTACLE
    refusal.part = ""
    assert await run(runner, job.id, 1) == 0
    outcome = await read_outcome(store, job)
    assert outcome and outcome.state == "done" and len(refusal.attempts) == 1


@pytest.mark.slow
async def test_while_nothing_can_be_written_a_job_is_not_attempted_again_and_then_done(
    runner: JobRunner, store: Store, refusal: Refusal
) -> None:
    job = drawing()
    await store.put(job_key(job.id), job.model_dump_json().encode())
    refusal.part = "/"
    assert await run(runner, job.id, 3) == 3
    assert len(refusal.attempts) == 1
    refusal.part = ""
    assert await run(runner, job.id, 1) == 0
    outcome = await read_outcome(store, job)
    assert outcome and outcome.state == "done"


async def test_a_job_whose_record_cannot_be_read_ends(runner: JobRunner, store: Store, refusal: Refusal) -> None:
    job = drawing()
    await store.put(job_key(job.id), job.model_dump_json().encode())
    refusal.method, refusal.part = "GET", "/job.json"
    assert await run(runner, job.id, 1) == 0
    outcome = await read_outcome(store, job)
    assert outcome and (outcome.state, outcome.message) == ("failed", STORE_REFUSED)


async def test_outages_are_waited_for_and_unknown_failures_for_a_while(redis: ArqRedis) -> None:
    now_s = [0.0]
    limits = RetryLimits(redis, lambda: now_s[-1])
    outage, unknown = (StoreError("it failed", failure) for failure in (Failure.OUTAGE, Failure.UNKNOWN))
    one, other = new_id(), new_id()
    for minute in range(int(UNKNOWN_S / 60)):
        now_s.append(60.0 * minute)
        assert limits.store_failure(one, outage) is limits.store_failure(other, unknown) is None
    now_s.append(UNKNOWN_S)
    assert limits.store_failure(one, outage) is None
    ended = limits.store_failure(other, unknown)
    assert ended and ended.message == STORE_FAILED
    now_s.append(24 * 3600)
    assert limits.store_failure(one, outage) is None, "it is another outage"
    assert limits.store_failure(one, DiskFull("full")) is None


@pytest.mark.slow
async def test_a_full_disk_of_the_worker_is_no_fault_of_the_job(
    micro_model: Path, tmp_path: Path, redis: ArqRedis
) -> None:
    store, job = await opened(str(tmp_path / "store")), drawing()
    await store.put(job_key(job.id), job.model_dump_json().encode())
    engine = EngineClient(str(micro_model))
    with mounted(ext4_image(tmp_path / "disk.img", 8 * 2**20)) as disk:
        runner = JobRunner(TrainerSettings(DARKROOM_HOME=str(disk)), store, redis, engine, handlers_of())
        fill(disk / "filler")
        assert await run(runner, job.id, CRASHES_MAX + 1) == CRASHES_MAX + 1
        told = await read_progress(redis, job.id)
        assert told and told.obstacle == DISK_OBSTACLE
        (disk / "filler").unlink()
        assert await run(runner, job.id, 1) == 0
        outcome = await read_outcome(store, job)
        assert outcome and outcome.state == "done"
        await engine.stop()

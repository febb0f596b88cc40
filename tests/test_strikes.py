"""A store that fails in the middle of a job: it is tried again, but not for ever, and the end is a sentence."""

import re
from collections.abc import AsyncIterator
from email.message import Message
from pathlib import Path

import pytest
from arq.connections import ArqRedis
from arq.worker import Retry

from storage.files import Store
from storage.jobs import ImagineJob, job_key
from storage.settings import Settings
from storage.settling import read_outcome
from tests.servers import opened, proxy
from trainer.engine_client import EngineClient
from trainer.jobs.strikes import STORE_FAILED, STRIKES
from trainer.worker import JobRunner

pytestmark = pytest.mark.timeout(240)


class Refusal:
    """Has the server refuse to write what has `part` in its name, and counts the attempts whose files came by."""

    def __init__(self) -> None:
        self.part, self.attempts = "", set[str]()

    def __call__(self, method: str, path: str, headers: Message) -> tuple[int, str] | None:
        """Refuse this request, if it is meant."""
        self.attempts |= set(re.findall("attempt-[^/]+", path) if method == "PUT" else ())
        refused = self.part and method == "PUT" and self.part in path
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
async def runner(micro_model: Path, tmp_path: Path, store: Store, redis: ArqRedis) -> AsyncIterator[JobRunner]:
    engine = EngineClient(str(micro_model))
    yield JobRunner(Settings(DARKROOM_HOME=str(tmp_path)), store, redis, engine)
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


async def test_a_job_is_not_tried_for_ever(
    runner: JobRunner, store: Store, refusal: Refusal, caplog: pytest.LogCaptureFixture
) -> None:
    jobs = [
        ImagineJob(space="s", owner="o", prompt="a dog", model_prompt="a dog", seed=1, count=1, steps=1)
        for _ in range(2)
    ]
    for job, part in zip(jobs, ("/attempt-", "/outcome.json"), strict=True):
        await store.put(job_key(job.id), job.model_dump_json().encode())
        refusal.part, refusal.attempts = part, set()
        assert await run(runner, job.id, 3) == (2 if part == "/attempt-" else 3)
        if part == "/outcome.json":  # nor can it be written down that it failed
            assert await run(runner, job.id, 3) == 3
            refusal.part = ""
            assert await run(runner, job.id, 1) == 0
        assert len(refusal.attempts) == STRIKES
        outcome = await read_outcome(store, job.id)
        assert outcome and (outcome.state, outcome.message) == ("failed", STORE_FAILED)
        assert await run(runner, job.id, 1) == 0 and len(refusal.attempts) == STRIKES
    assert await run(runner, "../../x", 1) == 0
    assert "what was queued as '../../x' is no job" in caplog.text

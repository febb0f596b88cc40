"""Leases on a real queue between real processes: killed, frozen, cut off, handed back."""

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from arq.connections import ArqRedis
from arq.worker import func

from storage.queue import broker
from tests.servers.backing import valkey
from tests.support.leased_process import KIND
from trainer.worker.queue_worker import QueueWorker

LEASE_S = 2.5  # of which a busy machine may well take a second
QUEUE = broker.queue_name(KIND)
JOB = "0123456789abcdef0123"


@pytest.fixture
def data(tmp_path: Path) -> Iterator[tuple[ExitStack, Path]]:
    """A Valkey that can be stopped: the stack that ends it, and the folder of its data."""
    with ExitStack() as running:
        yield running, tmp_path / "valkey"


class Process:
    """A worker process, and what it has said so far."""

    def __init__(self, url: str, store: Path, work_s: float) -> None:
        command = [sys.executable, "-m", "tests.support.leased_process", url, str(store), str(LEASE_S), str(work_s)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    async def says(self) -> str:
        """The next line."""
        assert self.process.stdout
        line = await asyncio.wait_for(asyncio.to_thread(self.process.stdout.readline), 120)
        return line.strip()


@pytest.fixture
def start(redis: ArqRedis, tmp_path: Path) -> Iterator[Callable[[float], Process]]:
    """Starts worker processes, which end with the test."""
    started: list[Process] = []
    path = redis.connection_pool.connection_kwargs["path"]

    def run(work_s: float) -> Process:
        started.append(Process(f"unix://{path}", tmp_path / "store", work_s))
        return started[-1]

    yield run
    for one in started:
        one.process.kill()
        one.process.communicate()


async def enqueue(redis: ArqRedis, job: str = JOB) -> None:
    assert await redis.enqueue_job("work", _job_id=job, _queue_name=QUEUE)


async def drained(redis: ArqRedis) -> None:
    async with asyncio.timeout(120):
        while await redis.zcard(QUEUE):  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def test_the_job_of_a_killed_worker_is_taken_up_within_its_lease(redis: ArqRedis, start: Any) -> None:
    await enqueue(redis)
    first = start(30)
    assert await first.says() == "started 1"
    second = start(0.1)
    await asyncio.sleep(2 * LEASE_S)  # while the first lives the second must not have it
    assert await redis.exists("arq:retry:" + JOB) and await redis.get("arq:retry:" + JOB) == b"1"
    first.process.kill()
    killed_s = time.monotonic()
    assert await second.says() == "started 2"
    assert time.monotonic() - killed_s < LEASE_S + 20  # two on a quiet machine
    assert await second.says() == "won"
    await drained(redis)


async def test_a_frozen_worker_wakes_up_to_find_its_job_done(redis: ArqRedis, start: Any) -> None:
    await enqueue(redis)
    first = start(600)
    assert await first.says() == "started 1"
    first.process.send_signal(signal.SIGSTOP)
    second = start(0.1)
    assert (await second.says(), await second.says()) == ("started 2", "won")
    await enqueue(redis, "another")
    assert (await second.says(), await second.says()) == ("started 1", "won")
    first.process.send_signal(signal.SIGCONT)
    assert await first.says() == "stopped"
    second.process.kill()
    await enqueue(redis, "one more")
    assert await first.says() == "started 1"  # it works again


class Worked:
    """A worker in this process, whose jobs run until they are let go."""

    def __init__(self, redis: ArqRedis, lease_s: float = LEASE_S) -> None:
        self.began, self.ended, self.go_on = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.starts = 0
        self.worker = QueueWorker(redis, KIND, [func(self.work, name="work")], lease_s=lease_s, poll_s=0.05)

    async def work(self, ctx: dict[str, Any]) -> None:
        self.starts += 1
        self.began.set()
        try:
            await self.go_on.wait()
        finally:
            self.ended.set()

    async def __aenter__(self) -> "Worked":
        self.task = asyncio.create_task(self.worker.run())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.worker.stop()
        await asyncio.wait([self.task])


async def test_a_job_goes_on_through_an_emptied_redis(redis: ArqRedis) -> None:
    await enqueue(redis)
    async with Worked(redis) as first, Worked(redis) as second:
        await asyncio.sleep(0.5)
        await redis.flushall()
        await asyncio.sleep(LEASE_S / 3)
        await enqueue(redis)  # as the reconciler does
        await asyncio.sleep(2 * LEASE_S)
        assert first.starts + second.starts == 1
        assert not (first.ended.is_set() or second.ended.is_set())
        first.go_on.set()
        second.go_on.set()
        await drained(redis)
        assert first.starts + second.starts == 1


async def test_a_worker_goes_on_after_a_restart_of_redis(data: tuple[ExitStack, Path], tmp_path: Path) -> None:
    running, folder = data
    socket = tmp_path / "socket"
    url = f"unix://{socket}"

    def run() -> None:
        target = running.enter_context(valkey(folder)).removeprefix("unix://")
        socket.unlink(missing_ok=True)
        socket.symlink_to(target)

    run()
    redis = await broker.connect(url)
    await enqueue(redis)
    async with Worked(redis, lease_s=30) as one:
        await one.began.wait()
        running.close()
        one.go_on.set()  # it is done while Redis is away
        await asyncio.sleep(1)
        run()
        await drained(redis)
        assert one.starts == 1
        await enqueue(redis, "another")  # and its slot is free again
        await drained(redis)
        assert one.starts == 2
    await redis.aclose()


async def test_a_worker_that_cannot_renew_stops_before_others_may_begin_and_says_why(
    redis: ArqRedis, caplog: pytest.LogCaptureFixture
) -> None:
    await enqueue(redis)
    lease_s = 6.0  # of which a fifth is left when it stops
    async with Worked(redis, lease_s) as one:
        await one.began.wait()
        began_s = time.monotonic()
        await redis.execute_command("CLIENT", "PAUSE", 9000, "WRITE")
        await one.ended.wait()
        assert time.monotonic() - began_s < lease_s
        assert f"the lease of job {JOB} could not be renewed: Redis: it does not answer" in caplog.messages
        assert f"the lease of job {JOB} is lost, it " in caplog.text
        one.go_on.set()
        await drained(redis)
        assert one.starts == 2


async def test_what_runs_is_finished_or_given_back(redis: ArqRedis) -> None:
    await enqueue(redis)
    async with Worked(redis) as one:
        await one.began.wait()
        one.go_on.set()
        await one.worker.drain(5)
        assert await redis.zcard(QUEUE) == 0
        await enqueue(redis, "another")
        await asyncio.sleep(0.3)
        assert one.starts == 1
    async with Worked(redis) as two:
        await two.began.wait()
        await two.worker.drain(0.1)
        await two.worker.stop()
        assert await redis.zcard(QUEUE) == 1
        assert not await redis.exists("arq:in-progress:another")

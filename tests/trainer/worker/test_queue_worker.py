"""Which jobs a worker takes beside those that it runs already, and how long it leaves them to others."""

import asyncio
from collections.abc import Sequence
from typing import Any

from arq.connections import ArqRedis
from arq.worker import func

from tests.support.leased_process import KIND
from tests.trainer.worker.test_lease import drained, enqueue
from trainer.worker.queue_worker import QueueWorker


class Worked:
    """A worker whose jobs run until they are let go; those whose names end alike fit beside each other."""

    def __init__(self, redis: ArqRedis, **how: Any) -> None:
        self.began: list[str] = []
        self.go_on = asyncio.Event()
        work = func(self.work, name="work")
        self.worker = QueueWorker(redis, KIND, [work], lease_s=30, poll_s=0.05, **{"jobs_max": 3, **how})

    async def work(self, ctx: dict[str, Any]) -> None:
        self.began.append(ctx["job_id"])
        await self.go_on.wait()

    async def fits_beside(self, job: str, running: Sequence[str]) -> bool:
        """Whether all end alike."""
        return {job[-1]} == {each[-1] for each in running}

    async def has_begun(self, *jobs: str) -> None:
        async with asyncio.timeout(60):
            while [*jobs] != self.began:  # noqa: ASYNC110
                await asyncio.sleep(0.02)

    async def __aenter__(self) -> "Worked":
        self.task = asyncio.create_task(self.worker.run())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.worker.stop()
        await asyncio.wait([self.task])


async def test_one_that_does_not_fit_waits_and_is_not_overtaken(redis: ArqRedis) -> None:
    worked = Worked(redis)
    worked.worker.fits_beside = worked.fits_beside
    async with worked:
        for job in ("1a", "2a", "3b", "4a"):
            await enqueue(redis, job)
            await asyncio.sleep(0.01)  # so that they have an order
        await worked.has_begun("1a", "2a")
        await asyncio.sleep(0.3)
        assert worked.began == ["1a", "2a"]
        worked.go_on.set()
        await drained(redis)
        assert worked.began == ["1a", "2a", "3b", "4a"]


async def test_a_worker_that_runs_something_leaves_a_job_to_an_idle_one_at_first(redis: ArqRedis) -> None:
    async with Worked(redis, beside_s=0.5) as busy:
        await enqueue(redis, "a1")
        await busy.has_begun("a1")
        async with Worked(redis, beside_s=60) as idle:
            await enqueue(redis, "a2")
            await idle.has_begun("a2")
            await enqueue(redis, "a3")
            await busy.has_begun("a1", "a3")  # nobody else came for it
            busy.go_on.set()
            idle.go_on.set()
            await drained(redis)


async def test_how_many_run_at_a_time_may_change_meanwhile(redis: ArqRedis) -> None:
    at_once = 1
    async with Worked(redis, jobs_max=lambda: at_once) as worked:
        for job in ("a1", "a2"):
            await enqueue(redis, job)
            await asyncio.sleep(0.01)  # so that they have an order
        await worked.has_begun("a1")
        await asyncio.sleep(0.3)
        assert worked.began == ["a1"]
        at_once = 2
        await worked.has_begun("a1", "a2")
        worked.go_on.set()
        await drained(redis)

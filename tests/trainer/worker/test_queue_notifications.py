"""Idle workers hear that a job was queued, and need not ask; what they do not hear they find a moment later."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from arq.connections import ArqRedis
from arq.worker import func

from storage.kinds.imagine import ImagineJob
from storage.queue import broker
from storage.queue.job_queue import JobQueue
from storage.queue.subscription import queue_notifications
from tests.servers.redis import connected, port_of, valkey_tcp
from trainer.worker.queue_worker import QueueWorker

WITHIN_S = 60.0
NEVER_S = 3600.0
pytestmark = pytest.mark.timeout(360)


def drawing(owner: str = "ada") -> ImagineJob:
    return ImagineJob(space="here", owner=owner, prompt="a dog", model_prompt="a dog", seed=1, count=1)


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(WITHIN_S):
        while not true():  # noqa: ASYNC110
            await asyncio.sleep(0.02)


class Working:
    """A worker that waits for notifications alone, unless told otherwise; its jobs end when they may."""

    def __init__(self, redis: ArqRedis, **more: Any) -> None:
        self.begun: list[str] = []
        self.go_on = asyncio.Event()
        self.go_on.set()
        self.heard = queue_notifications(redis, self.wake)
        usual = {"lease_s": 10.0, "poll_s": NEVER_S, "idle_s": NEVER_S, "is_notified": lambda: self.heard.is_alive}
        functions = [func(self.work, name=broker.RUN_JOB)]
        self.worker = QueueWorker(redis, "imagine", functions, **{**usual, **more})

    def wake(self, kind: str) -> None:
        self.worker.wake(kind)

    async def work(self, ctx: dict[str, Any], job: str) -> None:
        self.begun.append(job)
        await self.go_on.wait()


@asynccontextmanager
async def working(redis: ArqRedis, hears: bool = True, **more: Any) -> AsyncIterator[Working]:
    here = Working(redis, **more)
    tasks = [asyncio.create_task(here.worker.run())]
    if hears:
        tasks.append(asyncio.create_task(here.heard.run()))
        await until(lambda: here.heard.is_alive)
    try:
        yield here
    finally:
        here.go_on.set()
        await here.worker.stop()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def queued(redis: ArqRedis, job: ImagineJob) -> str:
    assert await JobQueue(redis, "imagine").enqueue(job)
    return job.id


async def test_a_worker_that_never_asks_takes_what_is_queued_as_soon_as_it_is(redis: ArqRedis) -> None:
    async with working(redis) as one:
        first = await queued(redis, drawing())
        await until(lambda: one.begun == [first])
        second = await queued(redis, drawing("bob"))
        await until(lambda: one.begun == [first, second])


async def test_notifications_of_other_kinds_wake_nobody(redis: ArqRedis) -> None:
    async with working(redis) as one:
        await redis.config_resetstat()
        for _ in range(20):
            await redis.publish("darkroom:queued", "train")
        job = await queued(redis, drawing())
        await until(lambda: one.begun == [job])
        assert (await redis.info("commandstats"))["cmdstat_zrange"]["calls"] <= 3


async def test_what_ends_makes_room_at_once(redis: ArqRedis) -> None:
    jobs = [await queued(redis, drawing()) for _ in range(3)]
    async with working(redis, jobs_max=1) as one:
        await until(lambda: one.begun == jobs)


async def test_a_notification_that_is_lost_costs_a_moment(redis: ArqRedis) -> None:
    async with working(redis, idle_s=0.2) as one:
        job = drawing()
        await redis.enqueue_job(broker.RUN_JOB, job.id, _job_id=job.id, _queue_name=one.worker.queue.queue)
        await until(lambda: one.begun == [job.id])


async def test_after_its_connection_broke_a_worker_looks_for_what_it_missed(redis: ArqRedis) -> None:
    async with working(redis) as one:
        await redis.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
        job = await queued(redis, drawing())
        await until(lambda: one.begun == [job])
        assert one.heard.is_alive


async def test_where_nobody_may_subscribe_workers_ask_more_often(redis: ArqRedis) -> None:
    with valkey_tcp() as admin:
        admin.execute_command("ACL", "SETUSER", "deaf", *"on >pw ~* +@all -subscribe -publish resetchannels".split())
        url = f"redis://deaf:pw@127.0.0.1:{port_of(admin)}/0"
        async with connected(url) as deaf, working(deaf, hears=False, poll_s=0.1) as one:
            listening = asyncio.create_task(one.heard.run())
            job = await queued(deaf, drawing())
            await until(lambda: one.begun == [job])
            assert not one.heard.is_alive
            listening.cancel()
            with suppress(asyncio.CancelledError):
                await listening


async def test_a_job_that_another_worker_loses_is_taken_once_its_lease_is_over(redis: ArqRedis) -> None:
    async with working(redis, poll_s=0.1) as one:
        job = drawing()
        await redis.set(f"arq:in-progress:{job.id}", "another", px=1000)  # which has just died
        await queued(redis, job)
        await until(lambda: one.begun == [job.id])
        assert await redis.zcard(one.worker.queue.queue) <= 1


async def test_a_persons_next_job_is_taken_ahead_while_there_is_room_for_others(redis: ArqRedis) -> None:
    async with working(redis, poll_s=0.05, jobs_max=8, one_per_person=True) as one:
        one.go_on.clear()
        mine = [await queued(redis, drawing()) for _ in range(4)]
        await until(lambda: len(one.begun) == 2)
        await asyncio.sleep(1)
        assert one.begun == mine[:2]
        others = [await queued(redis, drawing(f"person-{n}")) for n in range(6)]
        await until(lambda: len(one.begun) == 8)
        assert set(one.begun) == {*mine[:2], *others}


async def test_nobodys_next_job_is_taken_ahead_while_little_is_free(redis: ArqRedis) -> None:
    async with working(redis, poll_s=0.05, jobs_max=4, one_per_person=True) as one:
        one.go_on.clear()
        for owner in ("ada", "bob", "eve"):
            await queued(redis, drawing(owner))
        await until(lambda: len(one.begun) == 3)
        await queued(redis, drawing())
        await asyncio.sleep(1)
        assert len(one.begun) == 3
        await queued(redis, drawing("zoe"))
        await until(lambda: len(one.begun) == 4)

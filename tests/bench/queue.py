"""Measure the queue alone, with leases and turns, beside stock arq: `python -m tests.bench.queue`.

Jobs do nothing.

Both take turns on one Valkey, so that a busy machine slows them alike. Prints JSON.
"""

import asyncio
import json
import statistics
import time
from typing import Any

from arq.connections import ArqRedis
from arq.worker import Worker, func

from storage.kinds.imagine import ImagineJob
from storage.queue import broker
from storage.queue.job_queue import JobQueue
from tests.servers.backing import APPEND_ONLY, valkey
from trainer.worker.queue_worker import QueueWorker

ROUNDS, JOBS, PEOPLE, AT_ONCE = 7, 500, 20, 10
LEASE_S, POLL_S = 10.0, 0.01


async def work(ctx: dict[str, Any], job: str) -> None:
    """Do nothing."""


async def jobs_per_s(redis: ArqRedis, ours: bool) -> float:
    """Queue some jobs of a few people, run them all, and return how many were done in a second."""
    line = JobQueue(redis, "imagine")
    for number in range(JOBS):
        await line.enqueue(
            ImagineJob(space="here", owner=str(number % PEOPLE), prompt="a dog", model_prompt="a dog", seed=1)
        )
    began_s = time.monotonic()
    await (run_ours(redis, line) if ours else run_stock(redis, line))
    return JOBS / (time.monotonic() - began_s)


async def run_ours(redis: ArqRedis, line: JobQueue) -> None:
    """Run all that is queued with our worker."""
    functions = [func(work, name=broker.RUN_JOB)]
    worker = QueueWorker(redis, line.kind, functions, lease_s=LEASE_S, jobs_max=AT_ONCE, poll_s=POLL_S)
    working = asyncio.create_task(worker.run())
    while await redis.zcard(line.queue):  # noqa: ASYNC110
        await asyncio.sleep(POLL_S)
    await worker.stop()
    await asyncio.wait([working])


async def run_stock(redis: ArqRedis, line: JobQueue) -> None:
    """Run all that is queued with arq's worker."""
    await Worker(
        [func(work, name=broker.RUN_JOB)],
        queue_name=line.queue,
        redis_pool=redis,
        handle_signals=False,
        job_serializer=broker.to_json,
        job_deserializer=broker.from_json,
        max_jobs=AT_ONCE,
        poll_delay=POLL_S,
        keep_result=0,
        burst=True,
    ).async_run()


async def measure() -> dict[str, float]:
    """Both, in turns."""
    with valkey(config=APPEND_ONLY) as url:
        redis = await broker.connect(url)
        rounds = [(await jobs_per_s(redis, True), await jobs_per_s(redis, False)) for _ in range(ROUNDS)]
        await redis.aclose()
    ours, stock = (statistics.median(column) for column in zip(*rounds, strict=True))
    ratio = statistics.median(ours / stock for ours, stock in rounds)
    return {"jobs/s with leases and turns": round(ours), "jobs/s, stock arq": round(stock), "ratio": round(ratio, 2)}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(measure()), indent=1))  # noqa: T201

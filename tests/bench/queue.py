"""Measure the queue alone, with leases beside stock arq, on jobs that do nothing: `python -m tests.bench.queue`.

Both take turns on one Valkey, so that a busy machine slows them alike. Prints JSON.
"""

import asyncio
import json
import statistics
import time
from typing import Any

from arq.connections import ArqRedis
from arq.worker import Worker, func

from storage import queue
from tests.servers import valkey
from trainer.lease import LeasedWorker

ROUNDS, JOBS, AT_ONCE = 7, 500, 10
LEASE_S = 10.0


async def work(ctx: dict[str, Any]) -> None:
    """Do nothing."""


async def jobs_per_s(redis: ArqRedis, leases: bool) -> float:
    """Queue some jobs, run them all, and return how many were done in a second."""
    for number in range(JOBS):
        await redis.enqueue_job("work", _job_id=f"job-{number}", _queue_name="q")
    options: dict[str, Any] = {
        "functions": [func(work, name="work")],
        "queue_name": "q",
        "redis_pool": redis,
        "job_serializer": queue.to_json,
        "job_deserializer": queue.from_json,
        "max_jobs": AT_ONCE,
        "poll_delay": 0.01,
        "keep_result": 0,
        "burst": True,
    }
    worker = LeasedWorker(lease_s=LEASE_S, **options) if leases else Worker(handle_signals=False, **options)
    began_s = time.monotonic()
    await worker.async_run()
    return JOBS / (time.monotonic() - began_s)


async def measure() -> dict[str, float]:
    """Both, in turns."""
    with valkey() as url:
        redis = await queue.connect(url)
        rounds = [(await jobs_per_s(redis, True), await jobs_per_s(redis, False)) for _ in range(ROUNDS)]
        await redis.aclose()
    leased, stock = (statistics.median(column) for column in zip(*rounds, strict=True))
    ratio = statistics.median(with_leases / without for with_leases, without in rounds)
    return {"jobs/s with leases": round(leased), "jobs/s, stock arq": round(stock), "ratio": round(ratio, 2)}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(measure()), indent=1))  # noqa: T201

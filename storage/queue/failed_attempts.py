"""How many attempts at a job ended badly through no fault of the worker's, by how they ended."""

from typing import Literal

from arq.connections import ArqRedis

AttemptEnd = Literal["crash", "loss"]  # of the engine, of the whole worker
TTL_S = 24 * 3600


async def count_failed_attempt(redis: ArqRedis, job: str, end: AttemptEnd) -> int:
    """Count an attempt that ended badly through no fault of the worker's; return how many of the job's have so."""
    async with redis.pipeline(transaction=True) as both:
        both.incr(_key(job, end))
        both.expire(_key(job, end), TTL_S)
        count, _ = await both.execute()
    return int(count)


async def failed_attempts(redis: ArqRedis, job: str, end: AttemptEnd) -> int:
    """How many of the job's attempts have ended so."""
    return int(await redis.get(_key(job, end)) or 0)


async def clear_failed_attempts(redis: ArqRedis, job: str, end: AttemptEnd) -> None:
    """Count from nothing again."""
    await redis.delete(_key(job, end))


def _key(job: str, end: AttemptEnd) -> str:
    return f"darkroom:strikes:{end}:{job}"

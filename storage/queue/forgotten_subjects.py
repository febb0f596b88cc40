"""Subjects that were forgotten in the last hours, whose files workers have to delete from their caches."""

import time

from arq.connections import ArqRedis

FORGOTTEN_KEY, FORGOTTEN_TTL_S = "darkroom:forgotten", 3 * 3600


async def note_forgotten(redis: ArqRedis, subject: str) -> None:
    """Note that a subject was forgotten, so that workers delete their copies of its files."""
    async with redis.pipeline(transaction=False) as all_of:
        all_of.zadd(FORGOTTEN_KEY, {subject: time.time()})
        all_of.zremrangebyscore(FORGOTTEN_KEY, 0, time.time() - FORGOTTEN_TTL_S)
        await all_of.execute()


async def forgotten_subjects(redis: ArqRedis) -> set[str]:
    """Ids of the subjects that were forgotten in the last hours."""
    return {subject.decode() for subject in await redis.zrange(FORGOTTEN_KEY, 0, -1)}

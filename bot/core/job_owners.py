"""Owners of jobs in a space, cached in Redis, so that the daily check for departures reads new jobs only."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress

from arq.connections import ArqRedis
from pydantic import ValidationError

from storage.contract.base import Record
from storage.ids import id_at
from storage.lifecycle.job_index import JobIndex, hashed

DAY_S = 24 * 3600.0
ANEW_S = 30 * DAY_S  # after which all jobs are read once more: some of those that had jobs may have none any more

KEPT_S = 3 * DAY_S  # each daily look keeps it; nobody is remembered long after a space is left


class KnownOwners(Record):
    """The owners of the jobs of a space that were read, and when all of them were read."""

    owners: tuple[str, ...] = ()
    all_read_s: float = 0.0
    until: str = ""  # jobs with older ids are read


def _key(space: str) -> str:
    return f"darkroom:owners:{hashed(space)}"


async def owners_of_jobs(redis: ArqRedis, index: JobIndex, space: str) -> set[str]:
    """The owners of all jobs of a space, and perhaps of some that are deleted by now."""
    body, now_s = await redis.get(_key(space)), time.time()
    known = KnownOwners()
    with suppress(ValidationError):  # of another version: all jobs are read again
        known = KnownOwners.model_validate_json(body) if body else known
    if now_s - known.all_read_s > ANEW_S:
        known = KnownOwners(all_read_s=now_s)
    owners = set(known.owners)
    async for ids in index.of_space(space):
        new = [job for job in ids if job >= known.until]
        jobs = await asyncio.gather(*map(index.job, new))
        owners |= {job.owner for job in jobs if job and job.space == space and job.owner}
        if len(new) < len(ids):
            break
    # Another process may be about to add a job with an id that is a little older.
    known = known.model_copy(update={"owners": tuple(sorted(owners)), "until": id_at(now_s - DAY_S)})
    await redis.set(_key(space), known.model_dump_json(), ex=int(KEPT_S))
    return owners


async def forget_owners(redis: ArqRedis, spaces: Sequence[str]) -> None:
    """Forget who has jobs in these spaces, since somebody's are deleted: it is read again."""
    for space in spaces:
        await redis.delete(_key(space))

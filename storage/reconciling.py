"""Mends what crashes leave: open jobs go back into the queue, what is half forgotten is forgotten. All see to it.

A key in Redis says that somebody has just looked. It expires after a minute, and it is gone with all the rest when
Redis is emptied: then the next one looks at once.
"""

import asyncio
import logging

from arq.connections import ArqRedis
from redis.exceptions import RedisError

from storage.errors import Damaged, Missing, StoreError
from storage.files import Store
from storage.forgetting import finish_all
from storage.jobs import ImagineJob, TrainJob, job_key, outcome_key, read_job
from storage.line import Line
from storage.settling import settle, unsettled_key
from storage.sweeping import Sweeper

log = logging.getLogger(__name__)

LOOKED_KEY = "darkroom:looked"
EVERY_S = 60
LOOKING = 4  # leases: who has not put back what was lost by then has died or lost the store, and the next one looks
POLL_S = 2.0


async def keep_queued(store: Store, redis: ArqRedis, lease_s: float) -> None:
    """Mend what was lost or left, now and every minute, until cancelled."""
    sweeper = Sweeper(store)
    while True:
        try:
            if await redis.set(LOOKED_KEY, b"1", nx=True, px=int(LOOKING * 1000 * lease_s)):
                await asyncio.sleep(lease_s)  # whoever runs a job has its lease by then again, and nobody else takes it
                await put_back(store, redis)
                await redis.set(LOOKED_KEY, b"1", ex=EVERY_S)
                await finish_all(store)
                await sweeper.sweep()
        except (StoreError, RedisError, OSError) as error:
            log.warning("cannot look for lost jobs: %s", error)
        except Exception:  # whoever looks for what others have lost is not to be lost itself
            log.exception("looking for lost jobs failed")
        await asyncio.sleep(POLL_S)


async def put_back(store: Store, redis: ArqRedis) -> list[str]:
    """Queue all accepted jobs that have no outcome and are not queued, oldest first; return their ids.

    What has an outcome that nobody came to settle is settled. A job that is damaged, or whose subject is, does not hold
    up the others.
    """
    names = set(await store.names("jobs/"))
    lost = []
    for job_id in sorted(name.split("/")[1] for name in names if name.endswith("/job.json")):
        try:
            if outcome_key(job_id) not in names:
                lost += await _requeued(store, redis, job_id)
            elif unsettled_key(job_id) in names:
                await settle(store, await _read(store, job_id))
        except Missing:  # deleted just now
            continue
        except Damaged as error:
            log.error("job %s cannot be put back or settled: %s", job_id, error)
    return lost


async def _requeued(store: Store, redis: ArqRedis, job_id: str) -> list[str]:
    job = await _read(store, job_id)
    if not await Line(redis, job.kind).enqueue(job):
        return []
    log.warning("job %s was not queued any more and is put back", job_id)
    return [job_id]


async def _read(store: Store, job_id: str) -> TrainJob | ImagineJob:
    return read_job((await store.get(job_key(job_id))).data)

"""Mends what crashes leave: open jobs go back into the queue, what is half forgotten is forgotten. All see to it.

A key in Redis says that somebody has just looked. It expires after a minute, and it is gone with all the rest when
Redis is emptied: then the next one looks at once.
"""

import asyncio
import logging

from arq.connections import ArqRedis

from storage.contract.outcomes import outcome_key
from storage.errors import Damaged, Missing, Newer, StoreError
from storage.kinds.stored import stored_job
from storage.lifecycle.damaged_jobs import end_damaged
from storage.lifecycle.erasure import finish_all
from storage.lifecycle.finalize import finalize_job
from storage.lifecycle.garbage_collection import GarbageCollector
from storage.lifecycle.index_backfill import build_indexes
from storage.lifecycle.job_index import JobIndex
from storage.objects.store import Store
from storage.queue.job_queue import JobQueue, queued_jobs
from storage.service_errors import SERVICE_ERRORS, reason_of

log = logging.getLogger(__name__)

LOOKED_KEY = "darkroom:looked"
SWEPT_RECENT_KEY, SWEPT_KEY = "darkroom:swept-recent", "darkroom:swept"
EVERY_S, HOUR_S = 60, 3600
LONGEST_S = 30.0  # of each minute, for what takes long and can wait
LOOKING = 4  # leases: who has not put back what was lost by then has died or lost the store, and the next one looks
POLL_S = 5.0


async def keep_queued(store: Store, redis: ArqRedis, lease_s: float) -> None:
    """Mend what was lost or left, now and every minute, until cancelled."""
    sweeper, index = GarbageCollector(store), JobIndex(store)
    while True:
        try:
            if await redis.set(LOOKED_KEY, b"1", nx=True, px=int(LOOKING * 1000 * lease_s)):
                await asyncio.sleep(lease_s)  # whoever runs a job has its lease by then again, and nobody else takes it
                await put_back(store, redis, index)
                await redis.set(LOOKED_KEY, b"1", ex=EVERY_S)
                await finish_all(store)
                await _look_further(store, redis, sweeper)
        except SERVICE_ERRORS as error:
            log.warning("cannot look for lost jobs: %s", reason_of(error))
        except Exception:  # whoever looks for what others have lost is not to be lost itself
            log.exception("looking for lost jobs failed")
        await asyncio.sleep(POLL_S)


async def _look_further(store: Store, redis: ArqRedis, sweeper: GarbageCollector) -> None:
    """Do what takes long and is needed seldom, a part of it each minute; keys in Redis say when it is needed again."""
    if not await build_indexes(store, LONGEST_S):
        return
    if await redis.set(SWEPT_RECENT_KEY, b"1", nx=True, ex=HOUR_S):
        await sweeper.sweep_recent()
    if not await redis.exists(SWEPT_KEY) and await sweeper.sweep_some(LONGEST_S):
        await redis.set(SWEPT_KEY, b"1", ex=HOUR_S)


async def put_back(store: Store, redis: ArqRedis, index: JobIndex | None = None) -> list[str]:
    """Queue all accepted jobs that have no outcome and are not queued, oldest first; return their ids.

    What has an outcome that nobody came to settle is settled. A job that is damaged, or whose subject is, or that the
    store fails over, does not hold up the others. What is queued is not read: a worker sees to it.
    """
    index, lost = index or JobIndex(store), list[str]()
    open_, queued = await index.open_jobs(), await queued_jobs(redis)
    for job_id, hashed_space in open_.items():
        if job_id in queued:
            continue
        try:
            lost += await _put_back_one(store, redis, index, job_id, hashed_space)
        except StoreError as error:
            log.warning("job %s is put back or settled later: %s", job_id, error)
        except SERVICE_ERRORS:  # Redis: nothing can be queued
            raise
        except Exception:
            log.exception("job %s cannot be put back or settled", job_id)
    return lost


async def _put_back_one(store: Store, redis: ArqRedis, index: JobIndex, job_id: str, hashed_space: str) -> list[str]:
    try:
        return await _requeued(store, redis, job_id)
    except Missing:
        await index.drop_stale(job_id, hashed_space)
    except Damaged as error:
        log.error("job %s cannot be put back or settled: %s", job_id, error)
        await end_damaged(store, job_id)
        await index.close_damaged(job_id, hashed_space)
    except Newer as error:
        log.warning("job %s is left to a newer version: %s", job_id, error)
    return []


async def _requeued(store: Store, redis: ArqRedis, job_id: str) -> list[str]:
    job = await stored_job(store, job_id)
    if await store.exists(outcome_key(job_id)):
        await finalize_job(store, job)
        return []
    if not await JobQueue(redis, job.kind).enqueue(job):
        return []
    log.warning("job %s was not queued any more and is put back", job_id)
    return [job_id]

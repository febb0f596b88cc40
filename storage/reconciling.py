"""Mends what crashes leave: open jobs go back into the queue, what is half forgotten is forgotten. All see to it.

A key in Redis says that somebody has just looked. It expires after a minute, and it is gone with all the rest when
Redis is emptied: then the next one looks at once.
"""

import asyncio
import logging
import time

from arq.connections import ArqRedis
from redis.exceptions import RedisError

from storage.errors import Damaged, Missing, StoreError
from storage.files import Store
from storage.forgetting import finish_all
from storage.ids import is_id, made_s
from storage.jobs import ImagineJob, TrainJob, job_key, outcome_key, read_job
from storage.line import Line
from storage.settling import settle, unsettled_key
from storage.subjects import NAMES, Subjects, subject_key, unaccepted_key

log = logging.getLogger(__name__)

LOOKED_KEY = "darkroom:looked"
EVERY_S = 60
LOOKING = 4  # leases: who has not put back what was lost by then has died or lost the store, and the next one looks
POLL_S = 2.0
ORPHANED_S = 3600  # from an id's making; an import writes the record last, and clocks differ


async def keep_queued(store: Store, redis: ArqRedis, lease_s: float) -> None:
    """Mend what was lost or left, now and every minute, until cancelled."""
    while True:
        try:
            if await redis.set(LOOKED_KEY, b"1", nx=True, px=int(LOOKING * 1000 * lease_s)):
                await asyncio.sleep(lease_s)  # whoever runs a job has its lease by then again, and nobody else takes it
                await put_back(store, redis)
                await redis.set(LOOKED_KEY, b"1", ex=EVERY_S)
                await finish_all(store)
                await sweep(store)
        except (StoreError, RedisError, OSError) as error:
            log.warning("cannot look for lost jobs: %s", error)
        await asyncio.sleep(POLL_S)


async def put_back(store: Store, redis: ArqRedis) -> list[str]:
    """Queue all accepted jobs that have no outcome and are not queued, oldest first; return their ids.

    What has an outcome that nobody came to settle is settled.
    """
    names = set(await store.names("jobs/"))
    lost = []
    for job_id in sorted(name.split("/")[1] for name in names if name.endswith("/job.json")):
        if outcome_key(job_id) not in names:
            job = await _read(store, job_id)
            if job and await Line(redis, job.kind).enqueue(job):
                log.warning("job %s was not queued any more and is put back", job_id)
                lost.append(job_id)
        elif unsettled_key(job_id) in names and (job := await _read(store, job_id)):
            await settle(store, job)
    return lost


async def _read(store: Store, job_id: str) -> TrainJob | ImagineJob | None:
    try:
        return read_job((await store.get(job_key(job_id))).data)
    except Missing:  # deleted just now
        return None
    except Damaged as error:
        log.warning("job %s cannot be put back: %s", job_id, error)
        return None


async def sweep(store: Store, older_s: float = ORPHANED_S) -> list[str]:
    """Delete what lies below a job or subject whose own record is gone, and names that nobody has; return what went.

    Records are written first and deleted first, so nothing else is there without one; but an upload that hung in a
    process that was cut off may come back after all that. Those of `older_s` or less are left alone.
    """
    swept: list[str] = []
    known: set[str] = set()
    for kind, record in (("jobs/", "job.json"), ("subjects/", "subject.json")):
        names = await store.names(kind)
        known = {name.split("/")[1] for name in names if name.endswith(f"/{record}")}
        for found in sorted({name.split("/")[1] for name in names} - known):
            if _is_old(found, older_s):
                swept += await store.delete_prefix(f"{kind}{found}/")
        swept += await _sweep_unaccepted(store, names, older_s)
    swept += await _sweep_names(store, len(known), older_s)
    if swept:
        log.warning("%d objects of jobs or subjects that are gone were left, and are deleted", len(swept))
    return swept


async def _sweep_unaccepted(store: Store, names: list[str], older_s: float) -> list[str]:
    """Forget new subjects whose training was never accepted: the bot died, or the store failed, in between."""
    swept: list[str] = []
    for name in names:
        subject = name.split("/")[1]
        if name == unaccepted_key(subject) and _is_old(subject, older_s):
            try:
                job = (await store.get(name)).data.decode()
                if not await store.exists(job_key(job)):
                    swept += await Subjects(store).forget(await Subjects(store).get(subject))
            except Missing:  # accepted or forgotten just now
                continue
            await store.delete(name)
    return swept


async def _sweep_names(store: Store, subjects: int, older_s: float) -> list[str]:
    """Free names that are held by subjects that are gone: a process died between the record and its name."""
    names = await store.names(NAMES)
    if len(names) <= subjects:  # each subject has one: to read them all would take long
        return []
    swept = []
    for name in names:
        try:
            holder = (await store.get(name)).data.decode()
        except Missing:  # freed just now
            continue
        if _is_old(holder, older_s) and not await store.exists(subject_key(holder)):
            await store.delete(name)
            swept.append(name)
    return swept


def _is_old(found: str, older_s: float) -> bool:
    return is_id(found) and time.time() - made_s(found) > older_s

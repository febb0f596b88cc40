"""Retention: jobs that ended long ago are deleted, with their pictures. What a subject still needs stays."""

import logging
import time
from collections.abc import AsyncIterator
from typing import NamedTuple

from storage.contract.jobs import Job, job_key
from storage.contract.outcomes import outcome_key
from storage.errors import Damaged, Missing, Newer
from storage.ids import id_at, is_id
from storage.kinds import kind_of
from storage.kinds.stored import read_job
from storage.lifecycle.finalize import delete_job
from storage.lifecycle.job_index import JobIndex
from storage.objects.store import Store

log = logging.getLogger(__name__)


class PrunedJob(NamedTuple):
    """A job that was deleted, or would be."""

    job: Job
    objects: int  # that belong to it, pictures among them


async def prune(store: Store, older_s: float, dry_run: bool = False) -> AsyncIterator[PrunedJob]:
    """Delete jobs that ended and are older, oldest first, and yield each; with `dry_run` only yield them.

    Open jobs stay, and trainings that made a subject what it is. Damaged records are passed over and logged.
    """
    before_s = time.time() - older_s
    open_ = await JobIndex(store).open_jobs()
    async for job_id, names in _jobs_until(store, id_at(before_s)):
        # Without an outcome it has not ended, whatever its age; and what has no record is the sweep's.
        if job_id in open_ or not {job_key(job_id), outcome_key(job_id)} <= {*names}:
            continue
        try:
            job = read_job((await store.get(job_key(job_id))).data)
            # Ids sort by time, but a job's id is its request's: the record says when it was accepted.
            if job.accepted_s > before_s or await kind_of(job).is_needed(store, job, names):
                continue
        except Missing:  # deleted just now
            continue
        except (Damaged, Newer) as error:
            log.warning("job %s is not pruned: %s", job_id, error)
            continue
        if not dry_run:
            await delete_job(store, job_id, job)
        yield PrunedJob(job, len(names))


async def _jobs_until(store: Store, end: str) -> AsyncIterator[tuple[str, list[str]]]:
    """Ids of the jobs that were made before the id `end`, oldest first, each with the names of its objects."""
    last, own = "", list[str]()
    async for page in store.pages("jobs/"):
        for name in page:
            job = name.split("/")[1]
            if job != last and own:
                yield last, own
                own = []
            # Names are sorted, and ids begin with their time: all that follow are younger.
            if job >= end:
                return
            if is_id(job):
                own.append(name)
            last = job
    if own:
        yield last, own

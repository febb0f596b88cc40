"""Hand jobs to the workers by name, follow them, cancel them. The truth is in the store; Redis only carries."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator

from arq.connections import ArqRedis
from arq.constants import in_progress_key_prefix, job_key_prefix

from bot.core.job_events import JobEvents
from bot.core.queue_view import QueueViews
from storage.contract.jobs import NEWER_WORKER, Job, job_key
from storage.contract.outcomes import Outcome, outcome_key
from storage.contract.progress import Progress
from storage.errors import Damaged, Full, Missing
from storage.kinds import kind_of
from storage.kinds.stored import read_ending, read_outcome, stored_job
from storage.kinds.train import TrainJob
from storage.lifecycle.finalize import cancel_without_room, finalize_job, publish_outcome
from storage.lifecycle.job_index import READERS, JobIndex, hashed
from storage.objects.store import PAGE, Store
from storage.queue import broker
from storage.queue.forgotten_subjects import note_forgotten
from storage.queue.job_progress import announce_change, read_progress
from storage.queue.job_queue import JobQueue
from storage.queue.redis_errors import best_effort

log = logging.getLogger(__name__)

POLL_S = 2.0  # without an event, after which Redis is asked where a job is
QUIET = 2  # polls without news, after which a job that began may have lost its worker and wait again
STORE_S = 15.0  # between two looks into the store, which tells for certain


class Dispatch:
    """Jobs of all spaces: accept, follow, cancel, list."""

    def __init__(self, store: Store, redis: ArqRedis) -> None:
        self.store, self.redis, self.queues = store, redis, QueueViews(redis)
        self.events, self.index = JobEvents(redis), JobIndex(store)

    async def accept(self, job: Job) -> None:
        """Write the job down, then queue it: once written it is not lost. Its entries in the indexes come first."""
        job = await kind_of(job).accepted(self.store, job)
        await self.index.add(job)
        await self.store.put_new(job_key(job.id), job.model_dump_json().encode())
        await self.enqueue(job)

    async def enqueue(self, job: Job) -> None:
        """Queue a job that is written down; harmless if it already is queued."""
        await JobQueue(self.redis, job.kind).enqueue(job)

    async def job(self, job: str) -> Job:
        """Read a job; raises Missing and Damaged."""
        return await stored_job(self.store, job)

    async def outcome(self, job: Job | str) -> Outcome | None:
        """How a job, or that of an id, ended, as an outcome of its kind; None if it has not."""
        try:
            record = await self.job(job) if isinstance(job, str) else job
        except Missing:
            return await read_ending(self.store, str(job))
        return await read_outcome(self.store, record)

    async def follow(self, job: Job) -> AsyncIterator[Progress | Outcome]:
        """Yield the job's progress whenever it changes, then its outcome, which ends it; raises Missing if deleted."""
        latest, previous, shown, changed, absences, quiet, looked_s = None, None, None, False, 0, 0, -STORE_S
        with self.events.subscribe(job.id) as inbox:
            while True:
                progress = latest or await read_progress(self.redis, job.id)
                due = time.monotonic() - looked_s >= (POLL_S if absences > 1 else STORE_S)
                if changed or due:
                    if outcome := await self.outcome(job):
                        yield outcome
                        return
                    if looked_s > 0:  # who follows has just read the job
                        await self.job(job.id)
                    looked_s = time.monotonic()
                quiet, previous = quiet + 1 if progress == previous else 0, progress
                current = progress if progress and quiet < QUIET else None
                now, has_left = (current, False) if current else await self._waiting(job, progress)
                absences = absences + 1 if has_left else 0  # one may be a look at the queue from before it was there
                if now != shown:
                    shown = now
                    yield now
                latest, changed = await inbox.take(POLL_S)

    async def _waiting(self, job: Job, progress: Progress | None) -> tuple[Progress, bool]:
        """Where a job is that waits, or its `progress` if it does not; and whether it has left the queue."""
        view = await self.queues.view(job.kind)
        has_left = job.id not in view.waiting and job.id not in view.running
        if progress and job.id not in view.waiting:
            return progress, has_left
        obstacle = NEWER_WORKER if _needs_newer(job, progress) else view.obstacle or _obstacle_of(progress)
        place, left_s = view.ahead(job.id), view.done_in_s(job.id)
        where = Progress(job=job.id, phase="queued", place=place, obstacle=obstacle, left_s=left_s, at_s=0)
        return where, has_left

    async def cancel(self, job: Job) -> bool:
        """Stop a job, queued or running; tell whether it was still open.

        That is its outcome, written down like any: a worker that has it sees that within a second, and stops.
        """
        running = await self._is_running(job)
        # Told apart by the worker's mark in Redis, before the outcome is written, since the worker removes it then.
        message = "Cancelled." if running else "Cancelled before it started."
        outcome = Outcome(job=job.id, state="cancelled", message=message)
        drawings = await self._drawings_of_new_subjects(job)
        try:
            if not await publish_outcome(self.store, job, outcome):
                return False
            await finalize_job(self.store, job)
        except Full as error:
            log.warning("job %s is deleted to cancel it: %s", job.id, error)
            await cancel_without_room(self.store, job)
        except Damaged as error:
            log.error("job %s is cancelled, and not all that follows could be done: %s", job.id, error)
        await self.unqueue(job)
        for drawing in drawings:
            if not await self.store.exists(job_key(drawing.id)):  # it went with the subject
                await self.unqueue(drawing)
        return True

    async def _drawings_of_new_subjects(self, job: Job) -> list[Job]:
        """Drawings that may go with a training: of subjects that are drawn from their photos until it has ended."""
        if not isinstance(job, TrainJob) or not job.first_look:
            return []
        about = {each for subject in job.subjects for each in await self.index.about(subject)} - {job.id}
        return [drawing for each in sorted(about) if (drawing := await self.index.job(each))]

    async def unqueue(self, job: Job) -> None:
        """Take a job that is over out of the queue, and have its followers look; the store tells, this is sooner."""
        with best_effort("workers find out later that a job is over"):
            # The entry of a running job is left to its worker, which removes it together with the lease.
            if not await self._is_running(job):
                await self.redis.zrem(broker.queue_name(job.kind), job.id)
                await self.redis.delete(job_key_prefix + job.id)
                await JobQueue(self.redis, job.kind).leave(job.id)
            await announce_change(self.redis, job.id)

    async def note_forgotten(self, subject: str) -> None:
        """Note a forgotten subject for workers' caches; they find out later by themselves."""
        with best_effort("workers find out later who is forgotten"):
            await note_forgotten(self.redis, subject)

    async def _is_running(self, job: Job) -> bool:
        """Whether a worker has it, as far as can be known."""
        with best_effort("a job is taken for running"):
            return bool(await self.redis.exists(in_progress_key_prefix + job.id))
        return True

    async def jobs(
        self, space: str, *, beginning: str = "", most: int | None = None, only_open: bool = False
    ) -> list[Job]:
        """Jobs of a space that are not deleted, newest first: those whose ids begin so, not more than so many."""
        if only_open:
            ids = [job for job in reversed(await self.index.open_jobs(space)) if job.startswith(beginning)]
            known = [job for job in await self._read(space, ids) if job and job.space == space]
            ended = await asyncio.gather(*(self.store.exists(outcome_key(job.id)) for job in known))
            return [job for job, has_ended in zip(known, ended, strict=True) if not has_ended][:most]
        jobs: list[Job] = []
        async for ids in self.index.of_space(space, beginning=beginning, page=most or PAGE):
            jobs += [job for job in await self._read(space, ids) if job and job.space == space]
            if most and len(jobs) >= most:
                break
        return jobs[:most]

    async def _read(self, space: str, ids: list[str]) -> list[Job | None]:
        """Read jobs, some at a time; None for one that is deleted or damaged."""
        jobs: list[Job | None] = []
        for start in range(0, len(ids), READERS):
            some = await asyncio.gather(*map(self.index.job, ids[start : start + READERS]))
            for job in (id for id, job in zip(ids[start:], some, strict=False) if not job):
                await self.index.drop_stale(job, hashed(space))
            jobs += some
        return jobs


def _needs_newer(job: Job, progress: Progress | None) -> bool:
    """Whether a job needs a newer version, by this one's reading or the last worker's."""
    return not job.is_understood or (progress is not None and progress.obstacle == NEWER_WORKER)


def _obstacle_of(progress: Progress | None) -> str:
    """The obstacle that the last worker reported, for which a job waits."""
    return progress.obstacle if progress and progress.phase == "queued" else ""

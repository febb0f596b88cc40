"""Runs jobs: takes each from acceptance to outcome, has attempts at it, and turns what goes wrong into words.

It knows no kind of job: `trainer.kinds` has a handler for each.
"""

import asyncio
import contextlib
import logging
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from arq.connections import ArqRedis
from arq.worker import Retry, RetryJob

from storage.contract.jobs import NEWER_WORKER, Job
from storage.contract.outcomes import Outcome, outcome_key
from storage.contract.progress import Progress
from storage.errors import Damaged, DiskFull, Missing, Newer, StoreError, UserError
from storage.failures import Failure
from storage.ids import is_id, new_id
from storage.kinds.stored import stored_job
from storage.lifecycle.damaged_jobs import end_damaged
from storage.lifecycle.finalize import finalize_job, is_open, publish_outcome
from storage.objects.folder_errors import is_full
from storage.objects.store import Store
from storage.queue.job_progress import announce_change, write_progress
from storage.queue.job_queue import JobQueue
from storage.queue.redis_errors import best_effort
from storage.settings.trainer import TrainerSettings
from trainer.protocol import OURS
from trainer.worker.attempt import Attempt, AttemptRequeued, EngineDied, JobEnded, WorkerContext
from trainer.worker.cache import Cache
from trainer.worker.engine_client import EngineClient
from trainer.worker.handler import Handlers
from trainer.worker.retry_limits import RetryLimits
from trainer.worker.scratch import own_folder

log = logging.getLogger(__name__)

TIDY_S = 2.0  # to tidy up after what was left to others
AGAIN_S = 2.0  # from an attempt that ended badly to the next one
AGAIN_MAX_S = 64.0  # the same while the store fails, or a disk is full: each attempt waits twice as long
PROBE_BYTES = 2**16  # written before an attempt at a job under which the store failed: attempts cost more
KNOWN_MAX = 64  # records of jobs that wait or run
UNWRITTEN_MAX = 100  # outcomes that are kept while the store refuses them
STORE_OBSTACLE, DISK_OBSTACLE = "the storage fails", "a worker's disk is full"


class JobRunner:
    """Takes jobs from acceptance to outcome, several at once if need be."""

    def __init__(
        self, settings: TrainerSettings, store: Store, redis: ArqRedis, engine: EngineClient, handlers: Handlers
    ) -> None:
        self.store, self.redis, self.handlers = store, redis, handlers
        self.cache = Cache(store, settings.home / "cache", settings.disk_least_bytes)
        self.retry_limits = RetryLimits(redis)
        self.context = WorkerContext(settings, store, redis, self.cache, engine)
        self.work = own_folder(settings.home / "work")
        self.left: set[str] = set()  # jobs that only a newer version can do
        self._unwritten: dict[str, Outcome] = {}  # of jobs that are done, while the store refuses to take them
        self._known: dict[str, Job] = {}  # those of `fits_beside`
        self._looking_back: set[asyncio.Task[None]] = set()

    async def run(self, ctx: dict[str, Any], job_id: str) -> None:
        """Run the job of this id and publish its outcome; harmless if it already has one or is deleted.

        Raises arq's Retry or RetryJob where it is to be tried again, here or elsewhere.
        """
        if not is_id(job_id):
            return log.error("what was queued as %.40r is no job, and is dropped", job_id)
        try:
            await self._run(ctx, await self._runnable_job(job_id))
        except Missing:
            log.info("job %s is deleted", job_id)
        except Newer as error:
            await self._leave(job_id, error)
            raise RetryJob from None
        except Damaged as error:
            log.error("job %s cannot be run: %s", job_id, error)
            await end_damaged(self.store, job_id)
        except StoreError as error:
            await self._end_or_wait(ctx, job_id, error)

    async def fits_beside(self, job_id: str, running: Sequence[str]) -> bool:
        """Whether a job is to begin beside those of its kind that run here; one that cannot be read ends soon."""
        while len(self._known) > KNOWN_MAX:
            del self._known[next(iter(self._known))]
        jobs = list[Job]()  # of their own: queues of other kinds ask meanwhile
        try:
            for each in (job_id, *running):
                jobs.append(self._known.get(each) or await stored_job(self.store, each))
                self._known[each] = jobs[-1]
        except StoreError:
            return True
        job, *others = jobs
        handler = self.handlers.get(job.kind) if job.is_understood else None
        others = [other for other in others if other.is_understood]
        return not handler or handler.fits_beside(job, others, self.context.engine.hello)

    async def _runnable_job(self, job_id: str) -> Job:
        """Read a job that is to be done; raises Missing and Damaged, and Newer where only a newer version can do it."""
        job = await stored_job(self.store, job_id)
        handler = self.handlers.get(job.kind)
        if not job.is_understood or not handler:
            raise Newer(f"Job {job.id} was accepted by a newer version of Darkroom.")
        handler.check(job)
        return job

    async def _end_or_wait(self, ctx: dict[str, Any], job_id: str, error: StoreError) -> None:
        """End a job whose record or outcome the store refuses; raises Retry where waiting may help, or has to."""
        waits = error.failure is Failure.OUTAGE or job_id in self._unwritten
        if not waits and (failure := self.retry_limits.store_failure(job_id, error)):
            try:
                await self.store.put_new(outcome_key(job_id), failure.model_dump_json().encode())
            except StoreError as refusal:
                error = refusal
            else:
                return log.error("job %s has ended: %s", job_id, error)
        await self._wait(ctx, job_id, error)

    async def _wait(self, ctx: dict[str, Any], job_id: str, error: StoreError) -> NoReturn:
        """Tell people what a job waits for, and have it tried again, later each time."""
        log.warning("job %s waits: %s", job_id, error)
        await self._tell(job_id, DISK_OBSTACLE if isinstance(error, DiskFull) else STORE_OBSTACLE)
        raise Retry(defer=min(AGAIN_MAX_S, AGAIN_S * 2 ** min(ctx["job_try"] - 1, 16))) from None

    async def _leave(self, job_id: str, error: Newer) -> None:
        """Leave a job to workers of a newer version, for as long as this one lives, and tell people so."""
        if job_id not in self.left:
            log.warning("%s It is left to a worker of that version.", error)
        self.left.add(job_id)
        await self._tell(job_id, NEWER_WORKER)

    async def _tell(self, job_id: str, obstacle: str) -> None:
        with best_effort("nobody hears what a job waits for"):
            await write_progress(self.redis, Progress(job=job_id, phase="queued", obstacle=obstacle))

    async def _run(self, ctx: dict[str, Any], job: Job) -> None:
        try:
            outcome = None
            if not await self.store.exists(outcome_key(job.id)):
                with contextlib.suppress(JobEnded):
                    outcome = await self._publish(job, await self._known_outcome(job) or await self._outcome(ctx, job))
            if outcome:  # people hear of it before what follows from it is done; whoever reads it can do that, too
                await self._announce(job)
            await finalize_job(self.store, job, outcome)
        except asyncio.CancelledError:  # it is left to others, and nobody waits for us any more
            task = asyncio.create_task(self._look_back(job))
            self._looking_back.add(task)
            task.add_done_callback(self._looking_back.discard)
            raise
        if not outcome:
            await self._announce(job)

    async def _announce(self, job: Job) -> None:
        with best_effort("who follows a job finds out later that it is over"):
            await announce_change(self.redis, job.id)

    async def _look_back(self, job: Job) -> None:
        """Tidy up after a job that is over: others may have ended it before our last upload."""
        try:
            if not await is_open(self.store, job):
                await finalize_job(self.store, job)
        except StoreError as error:
            log.warning("job %s is left as it is: %s", job.id, error)

    async def close(self) -> None:
        """Give what is still to be tidied up a moment, then close what jobs share."""
        if self._looking_back:
            await asyncio.wait(self._looking_back, timeout=TIDY_S)
        await self.context.services.close()

    async def _known_outcome(self, job: Job) -> Outcome | None:
        """The outcome of a job that needs no other attempt; None if it does, and the store may take what it makes."""
        if known := self._unwritten.get(job.id) or await self.retry_limits.out(job):
            return known
        if self.retry_limits.has_failed_store(job.id):
            await self.store.put(probe := f"probes/{new_id()}/again", bytes(PROBE_BYTES))
            await self.store.delete(probe)
        return None

    async def _outcome(self, ctx: dict[str, Any], job: Job) -> Outcome:
        """Have one attempt at a job, and turn what goes wrong into words; raises Retry or RetryJob."""
        attempt, began_s = f"attempt-{ctx['job_try']}-{new_id()[-8:]}", time.monotonic()
        folder = self.work / attempt
        await self.retry_limits.begin(job)
        try:
            folder.mkdir(parents=True)
            outcome = await self._attempt(job, attempt, folder)
        except AttemptRequeued:
            raise RetryJob from None
        except (JobEnded, Newer):
            raise
        except EngineDied as error:
            failure = await self.retry_limits.count(job, error)
            if failure is None:
                raise Retry(defer=AGAIN_S) from None
            outcome = failure
        except StoreError as error:
            outcome = self.retry_limits.store_failure(job.id, error) or await self._wait(ctx, job.id, error)
        except UserError as error:
            outcome = Outcome(job=job.id, state="failed", message=str(error))
        except Exception as error:
            if is_full(error):
                await self._wait(ctx, job.id, DiskFull(str(error)))
            log.exception("job %s failed", job.id)
            outcome = Outcome(job=job.id, state="failed", message=OURS, detail=f"{type(error).__name__}: {error}")
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            await self.retry_limits.end(job)
        return outcome.model_copy(update={"seconds": round(time.monotonic() - began_s, 3)})

    async def _attempt(self, job: Job, name: str, folder: Path) -> Outcome:
        attempt = Attempt(job, name, folder, self.context)
        return await attempt.run(self.handlers[job.kind](job, attempt).run())

    async def _publish(self, job: Job, outcome: Outcome) -> Outcome | None:
        """Write the outcome, unless the job has one; return it if it is the one that counts."""
        try:
            is_ours = await publish_outcome(self.store, job, outcome)
        except StoreError:
            if outcome.state == "done":
                self._unwritten[job.id] = outcome  # so that only this is tried again
            if len(self._unwritten) > UNWRITTEN_MAX:
                del self._unwritten[next(iter(self._unwritten))]
            raise
        self._unwritten.pop(job.id, None)
        if is_ours:
            log.info("job %s %s in %.1f s %s", job.id, outcome.state, outcome.seconds, outcome.detail)
            with best_effort("how long jobs take is not known"):
                if outcome.state == "done":
                    await JobQueue(self.redis, job.kind).measured(outcome.seconds)
        return outcome if is_ours else None

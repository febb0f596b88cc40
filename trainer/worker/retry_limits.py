"""Retry limits of a job: engines that crashed under it, workers that were lost with it, a store that keeps failing.

Attempts that ended in the first two ways are counted; above a limit the job has failed, which is checked before each
attempt, too. A store that fails is waited for, for a time that depends on the kind of failure; a full disk of this
machine is waited for as long as it takes.
"""

import logging
import time
from collections.abc import Callable
from typing import Literal

from arq.connections import ArqRedis

from storage.contract.jobs import Job
from storage.contract.outcomes import Outcome
from storage.errors import DiskFull, Full, Missing, Sentences, StoreError, store_sentence
from storage.failures import Failure
from storage.queue.redis_errors import best_effort
from storage.service_errors import UNKNOWN_S
from trainer.worker.attempt import EngineDied
from trainer.worker.engine_handle import DIED

log = logging.getLogger(__name__)

CRASHES_MAX = 3  # attempts of which the engine died, after which a job has failed
LOST_WORKERS_MAX = 5  # workers in a row that may be lost with a job before it makes progress
LOST = (
    f"{LOST_WORKERS_MAX} workers in a row were lost while they worked on this, so I gave up. "
    "Whoever runs me should look why."
)
GAVE_UP = f"That happened {CRASHES_MAX} times, so I gave up."
STORE_FAILED = "The storage failed again and again while we worked on this. Please try again later."
STORE_REFUSED = "The storage refuses what this needs, so it has ended. Whoever runs me finds the reason in the log."
SENTENCES: Sentences = {
    Missing: "Something that this needs is not in the storage any more.",
    Full: "The disk of the storage is full, so what was made could not be kept. Whoever runs me has to make room.",
}
UNKNOWN = "the log has the attempts"
PATIENCE_S = {Failure.OUTAGE: 3600.0, Failure.UNKNOWN: UNKNOWN_S}  # an attempt each time costs more than a question
KNOWN_MAX = 1000  # jobs of which it is known since when the store fails under them
AttemptEnd = Literal["crash", "loss"]  # of the engine, of the whole worker
COUNTED_S = 24 * 3600  # how long an attempt that ended so counts


class RetryLimits:
    """The retry limits of all jobs, counted in Redis; while it does not answer nothing is counted."""

    def __init__(self, redis: ArqRedis, now_s: Callable[[], float] = time.monotonic) -> None:
        self.redis, self._now_s = redis, now_s
        self._failing_s: dict[str, tuple[float, float]] = {}  # when the store failed under a job: first, and last

    async def out(self, job: Job) -> Outcome | None:
        """The failure of a job whose attempts are used up; None if another attempt may be had."""
        with best_effort("nobody knows how often a job was tried"):
            if await failed_attempts(self.redis, job.id, "loss") >= LOST_WORKERS_MAX:
                return _failed(job, LOST, f"{LOST_WORKERS_MAX} workers were lost with it")
            if await failed_attempts(self.redis, job.id, "crash") >= CRASHES_MAX:
                return _failed(job, f"{DIED} {GAVE_UP}", UNKNOWN)
        return None

    async def count(self, job: Job, died: EngineDied) -> Outcome | None:
        """Count an attempt of which the engine died; return the failure if it was one too many."""
        crashes = 1
        with best_effort("an engine that died is not counted"):
            crashes = await count_failed_attempt(self.redis, job.id, "crash")
        if crashes < CRASHES_MAX:
            log.warning("job %s is tried again: %s", job.id, died)
            return None
        return _failed(job, f"{died} {GAVE_UP}", died.detail)

    def store_failure(self, job_id: str, error: StoreError) -> Outcome | None:
        """The failure of a job under which the store fails; None if waiting may help."""
        if isinstance(error, DiskFull):
            return None
        patience_s = PATIENCE_S.get(error.failure, UNKNOWN_S)
        is_new = self._failing_for_s(job_id, patience_s) < patience_s
        is_permanent = error.failure is Failure.PERMANENT and not isinstance(error, Missing)  # just deleted, perhaps
        if is_new and not is_permanent:
            return None
        usual = STORE_REFUSED if error.failure is Failure.PERMANENT else STORE_FAILED
        says = store_sentence(error, SENTENCES, usual)
        return Outcome(job=job_id, state="failed", message=says, detail=f"{type(error).__name__}: {error}")

    def has_failed_store(self, job_id: str) -> bool:
        """Whether the store failed under a job before."""
        return job_id in self._failing_s

    def _failing_for_s(self, job_id: str, reset_s: float) -> float:
        """For how long the store has failed under a job, which it does now; what ended `reset_s` ago is forgotten."""
        now_s = self._now_s()
        first_s, last_s = self._failing_s.pop(job_id, (now_s, now_s))
        first_s = now_s if now_s - last_s > reset_s else first_s
        self._failing_s[job_id] = first_s, now_s
        if len(self._failing_s) > KNOWN_MAX:
            del self._failing_s[next(iter(self._failing_s))]
        return now_s - first_s

    async def begin(self, job: Job) -> None:
        """Count an attempt that begins; those that end are taken off again, so what stays was lost with its worker."""
        with best_effort("an attempt is not counted"):
            await count_failed_attempt(self.redis, job.id, "loss")

    async def end(self, job: Job) -> None:
        """Take back the count of this attempt and of those before: the worker is not lost."""
        with best_effort("an attempt that has ended counts"):
            await clear_lost_workers(self.redis, job.id)


def _failed(job: Job, message: str, detail: str) -> Outcome:
    return Outcome(job=job.id, state="failed", message=message, detail=detail)


async def count_failed_attempt(redis: ArqRedis, job: str, end: AttemptEnd) -> int:
    """Count an attempt that ended badly through no fault of the worker's; return how many of the job's have so."""
    async with redis.pipeline(transaction=True) as both:
        both.incr(_key(job, end))
        both.expire(_key(job, end), COUNTED_S)
        count, _ = await both.execute()
    return int(count)


async def failed_attempts(redis: ArqRedis, job: str, end: AttemptEnd) -> int:
    """How many of the job's attempts have ended so."""
    return int(await redis.get(_key(job, end)) or 0)


async def clear_lost_workers(redis: ArqRedis, job: str) -> None:
    """Count the workers that were lost with a job from nothing again."""
    await redis.delete(_key(job, "loss"))


def _key(job: str, end: AttemptEnd) -> str:
    return f"darkroom:strikes:{end}:{job}"

"""What counts against a job: engines that died of it, a store that failed under it, workers that were lost with it.

Counted are attempts. Too many of a kind, and the job has failed: before the next attempt, not only after one, since the
failure itself may be what cannot be written down.
"""

import contextlib
import logging

from arq.connections import ArqRedis
from redis.exceptions import RedisError

from storage import queue
from storage.errors import Damaged, Full, StoreError
from storage.jobs import ImagineJob, Outcome, TrainJob
from trainer.engine_handle import DIED
from trainer.jobs.attempt import EngineDied

log = logging.getLogger(__name__)

STRIKES = 3  # attempts of which the engine died, or under which the store failed, after which a job has failed
LOSSES = 5  # workers in a row that may be lost with a job, before it has come any further, until it has failed
LOST = f"{LOSSES} workers in a row were lost while they worked on this, so I gave up. Whoever runs me should look why."
GAVE_UP = f"That happened {STRIKES} times, so I gave up."
STORE_FAILED = "The storage failed while we worked on this. Please try again later."
STORE_SAYS: dict[type[StoreError], str] = {
    Damaged: "Something that this needs is damaged in the storage. Whoever runs me finds it with `darkroom repair`.",
    Full: "The disk of the storage is full, so what was made could not be kept. Whoever runs me has to make room.",
}
UNKNOWN = "the log has the attempts"


class Strikes:
    """Those of all jobs, in Redis. While it does not answer nothing is counted, and nobody gives up."""

    def __init__(self, redis: ArqRedis) -> None:
        self.redis = redis

    async def out(self, job: TrainJob | ImagineJob) -> Outcome | None:
        """How a job has failed that had too many; None if another attempt may be had."""
        with contextlib.suppress(RedisError, OSError):
            if await queue.strikes(self.redis, job.id, "loss") >= LOSSES:
                return _failed(job, LOST, f"{LOSSES} workers were lost with it")
            if await queue.strikes(self.redis, job.id, "crash") >= STRIKES:
                return _failed(job, f"{DIED} {GAVE_UP}", UNKNOWN)
            if await queue.strikes(self.redis, job.id, "failure") >= STRIKES:
                return _failed(job, STORE_FAILED, UNKNOWN)
        return None

    async def count(self, job: TrainJob | ImagineJob, error: EngineDied | StoreError) -> Outcome | None:
        """Count an attempt that ended so; return the failure if it was one too many, or none will end better."""
        why: queue.Strike = "crash" if isinstance(error, EngineDied) else "failure"
        try:
            strikes = await queue.strike(self.redis, job.id, why)
        except (RedisError, OSError):
            strikes = 1
        if strikes < STRIKES and not isinstance(error, Damaged):
            log.warning("job %s is tried again: %s", job.id, error)
            return None
        if isinstance(error, EngineDied):
            return _failed(job, f"{error} {GAVE_UP}", error.detail)
        says = next((says for kind, says in STORE_SAYS.items() if isinstance(error, kind)), STORE_FAILED)
        return _failed(job, says, f"{type(error).__name__}: {error}")

    async def begin(self, job: TrainJob | ImagineJob) -> None:
        """Count an attempt that begins; those that end are taken off again, so what stays was lost with its worker."""
        with contextlib.suppress(RedisError, OSError):
            await queue.strike(self.redis, job.id, "loss")

    async def end(self, job: TrainJob | ImagineJob) -> None:
        """Take what began off again, and those before: we live to tell."""
        with contextlib.suppress(RedisError, OSError):
            await queue.absolve(self.redis, job.id, "loss")


def _failed(job: TrainJob | ImagineJob, message: str, detail: str) -> Outcome:
    return Outcome(job=job.id, state="failed", message=message, detail=detail)

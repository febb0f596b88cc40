"""Hand jobs to the workers by name, follow them, cancel them. The truth is in the store; Redis only carries."""

import asyncio
from collections.abc import AsyncIterator

from arq.connections import ArqRedis
from arq.constants import in_progress_key_prefix, job_key_prefix

from bot.waiting import Looks, View
from storage import queue
from storage.errors import Damaged, Missing
from storage.files import Store
from storage.jobs import ImagineJob, Outcome, Progress, TrainJob, job_key, outcome_key, read_job
from storage.line import Line
from storage.subjects import Subjects

POLL_S = 0.25
LOOK_IN_STORE_EVERY = 20  # polls; progress in Redis tells sooner, the store tells for certain
QUIET = 12  # polls without news, after which a job that began may have lost its worker and wait again


class Dispatch:
    """Jobs of all spaces: accept, follow, cancel, list."""

    def __init__(self, store: Store, redis: ArqRedis) -> None:
        self.store, self.redis, self._looks = store, redis, Looks(redis)

    async def accept(self, job: TrainJob | ImagineJob) -> None:
        """Write the job down, then queue it: once written it is not lost."""
        await self.store.put_new(job_key(job.id), job.model_dump_json().encode())
        await self.enqueue(job)

    async def enqueue(self, job: TrainJob | ImagineJob) -> None:
        """Queue a job that is written down; harmless if it already is queued."""
        await Line(self.redis, job.kind).enqueue(job)

    async def job(self, job: str) -> TrainJob | ImagineJob:
        """Read a job; raises Missing."""
        return read_job((await self.store.get(job_key(job))).data)

    async def outcome(self, job: str) -> Outcome | None:
        """How a job ended, if it did."""
        try:
            return Outcome.model_validate_json((await self.store.get(outcome_key(job))).data)
        except Missing:
            return None

    async def follow(self, job: TrainJob | ImagineJob) -> AsyncIterator[Progress | Outcome]:
        """Yield the job's progress whenever it changes, then its outcome, which ends it; raises Missing if deleted."""
        last: Progress | None = None
        heard, quiet = last, 0
        for poll in range(2**62):
            progress = await queue.read_progress(self.redis, job.id)
            if poll % LOOK_IN_STORE_EVERY == 0 or await self._is_ending(job, progress):
                if outcome := await self.outcome(job.id):
                    yield outcome
                    return
                await self.job(job.id)
            heard, quiet = progress, quiet + 1 if progress == heard else 0
            if progress is None or quiet > QUIET:
                progress = await self._waiting(job, progress)
            if progress != last:
                last = progress
                yield progress
            await asyncio.sleep(POLL_S)

    async def _is_ending(self, job: TrainJob | ImagineJob, progress: Progress | None) -> bool:
        return (progress is not None and progress.phase == "saving") or await queue.is_cancelled(self.redis, job.id)

    async def _waiting(self, job: TrainJob | ImagineJob, told: Progress | None) -> Progress:
        """Where a job is that waits; what was `told` of it if it does not."""
        view = await self.line(job.kind)
        if told and job.id not in view.waiting:
            return told
        return Progress(
            job=job.id,
            phase="queued",
            place=view.ahead(job.id),
            obstacle=view.obstacle,
            left_s=view.done_in_s(job.id),
            at_s=0,
        )

    async def line(self, kind: str) -> View:
        """All that wait and run of a kind of job, as it was a moment ago."""
        return await self._looks.view(kind)

    async def place(self, job: TrainJob | ImagineJob) -> int:
        """How many jobs of its kind come before a queued one, those that run included."""
        return (await self.line(job.kind)).ahead(job.id)

    async def cancel(self, job: TrainJob | ImagineJob) -> bool:
        """Stop a job, queued or running; tell whether it was still open. A running one ends within two seconds."""
        if await self.outcome(job.id):
            return False
        await queue.ask_to_cancel(self.redis, job.id)
        if await self.redis.exists(in_progress_key_prefix + job.id):
            return True
        await self.redis.zrem(queue.QUEUES[job.kind], job.id)
        await self.redis.delete(job_key_prefix + job.id)
        await Line(self.redis, job.kind).end(job.id)
        return await self._publish_cancelled(job)

    async def _publish_cancelled(self, job: TrainJob | ImagineJob) -> bool:
        outcome = Outcome(job=job.id, state="cancelled", message="Cancelled before it started.")
        won = await self.store.put_new(outcome_key(job.id), outcome.model_dump_json().encode())
        if won and isinstance(job, TrainJob):
            await Subjects(self.store).give_up(job.subject, cancelled=True)
            await self.store.delete_prefix(f"jobs/{job.id}/samples/")  # of an attempt whose worker died
        return won

    async def jobs(self, space: str) -> list[TrainJob | ImagineJob]:
        """All jobs of a space that are not deleted, newest first."""
        names = [name for name in await self.store.names("jobs/") if name.endswith("/job.json")]
        found = []
        for name in reversed(names):
            try:
                found.append(read_job((await self.store.get(name)).data))
            except (Missing, Damaged):
                continue
        return [job for job in found if job.space == space]

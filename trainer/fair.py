"""A worker that serves people in turn, and takes no job while its machine has no room for one."""

from contextlib import suppress
from typing import Any

from arq.connections import ArqRedis

from storage.line import Line
from trainer.lease import AWAY, LeasedWorker
from trainer.room import Room


class FairWorker(LeasedWorker):
    """Serves the line of one kind of job."""

    def __init__(self, *, kind: str, redis_pool: ArqRedis, room: Room, **options: Any) -> None:
        self.line, self.room = Line(redis_pool, kind), room
        super().__init__(queue_name=self.line.queue, redis_pool=redis_pool, **options)

    async def start_jobs(self, job_ids: list[bytes]) -> None:
        """Start the first of these jobs by whose turn it is."""
        if job_ids and not self.room.lacks():
            _, waiting = await self.line.order()
            due = set(job_ids)
            await super().start_jobs([job.encode() for job in waiting if job.encode() in due])

    async def run_job(self, job_id: str, score: int) -> None:
        """Run a job; whoever asked for it has had a turn."""
        await self.line.begin(job_id)
        await super().run_job(job_id, score)

    async def finish_job(self, job_id: str, finish: bool, *ending: Any) -> None:
        """Take a job off the queue, or give it back."""
        await super().finish_job(job_id, finish, *ending)
        if finish:
            await self._end(job_id)

    async def finish_failed_job(self, job_id: str, *ending: Any) -> None:
        """Take a job off the queue that could not be run."""
        await super().finish_failed_job(job_id, *ending)
        await self._end(job_id)

    async def _end(self, job_id: str) -> None:
        with suppress(*AWAY):  # a place that is kept too long is found out when the next job is admitted
            await self.line.end(job_id)

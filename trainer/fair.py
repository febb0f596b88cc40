"""A worker that serves people in turn, and takes no job while its machine has no room for one."""

from typing import Any

from arq.connections import ArqRedis

from storage.line import Line
from trainer.lease import LeasedWorker
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

"""A worker that serves people in turn, and takes no job while its machine has no room for one."""

from typing import Any

from arq.connections import ArqRedis

from storage.line import Besides, Line
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
            _, waiting = await self.line.order(job_ids)
            await super().start_jobs([job.encode() for job in waiting])

    def besides(self, job_id: str) -> Besides:
        """Whoever asked for a job that is claimed has had a turn."""
        return self.line.begin(job_id)

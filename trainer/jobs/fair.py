"""A worker that serves people in turn."""

from typing import Any

from arq.connections import ArqRedis

from storage.line import Besides, Line
from trainer.jobs.lease import LeasedWorker


class FairWorker(LeasedWorker):
    """Serves the line of one kind of job."""

    def __init__(self, *, kind: str, redis_pool: ArqRedis, **options: Any) -> None:
        self.line = Line(redis_pool, kind)
        super().__init__(queue_name=self.line.queue, redis_pool=redis_pool, **options)

    async def start_jobs(self, job_ids: list[bytes]) -> None:
        """Start the first of these jobs by whose turn it is."""
        if job_ids and self.may_take():
            _, waiting = await self.line.order(job_ids)
            await super().start_jobs([job.encode() for job in waiting])

    def besides(self, job_id: str) -> Besides:
        """Whoever asked for a job that is claimed has had a turn."""
        return self.line.begin(job_id)

"""A worker that serves people in turn."""

from collections.abc import Container
from typing import Any

from arq.connections import ArqRedis

from storage.queue.job_queue import ClaimScript, JobQueue
from trainer.worker.leased_worker import LeasedWorker


class FairWorker(LeasedWorker):
    """Serves the line of one kind of job."""

    def __init__(self, *, kind: str, redis_pool: ArqRedis, left: Container[str] = frozenset(), **options: Any) -> None:
        """`left` are ids of jobs that are left to workers of a newer version."""
        self.left = left
        self.line = JobQueue(redis_pool, kind)
        super().__init__(queue_name=self.line.queue, redis_pool=redis_pool, **options)

    async def start_jobs(self, job_ids: list[bytes]) -> None:
        """Start the first of these jobs by whose turn it is."""
        mine = [job for job in job_ids if job.decode() not in self.left]
        if mine and (waiting := (await self.line.order(mine))[1]):
            await super().start_jobs([job.encode() for job in waiting])

    def besides(self, job_id: str) -> ClaimScript:
        """Whoever asked for a job that is claimed has had a turn."""
        return self.line.begin(job_id)

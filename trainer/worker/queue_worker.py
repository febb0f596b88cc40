"""The worker's loop over one queue: takes jobs in fair turns, runs each under a lease, and takes it off the queue.

Jobs are queued by arq (`storage.queue.job_queue`), and its `Retry` and `RetryJob` ask for another attempt. Its own
worker counts attempts and gives up, trusts marks that nobody owns, and ends with the first error of Redis; this loop
outlives every outage, and a crash is no failure: whoever runs the job counts better.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Container, Sequence
from typing import Any

from arq.connections import ArqRedis
from arq.jobs import DeserializationError, deserialize_job_raw
from arq.utils import poll, timestamp_ms
from arq.worker import Function, Retry, RetryJob

from storage.queue.broker import from_json
from storage.queue.fair_share import Name
from storage.queue.job_queue import JobQueue
from storage.queue.redis_errors import ERRORS, meaning_of
from storage.service_errors import Patience
from trainer.worker.lease import RENEWALS, RETRY_S, Claim, Lease, Leases

log = logging.getLogger(__name__)

JOBS_READ = 10_000  # ids that a worker looks through for one that nobody holds


async def _always() -> bool:
    return True


async def _never() -> bool:
    return False


class QueueWorker:
    """Serves the queue of one kind of job, `jobs_max` at a time."""

    def __init__(
        self,
        redis: ArqRedis,
        kind: str,
        functions: Sequence[Function],
        *,
        lease_s: float,
        jobs_max: int = 1,
        one_per_person: bool = False,
        poll_s: float = 0.1,
        skipped: Container[str] = frozenset(),
        may_take: Callable[[], Awaitable[bool]] = _always,
        must_leave: Callable[[], Awaitable[bool]] = _never,
        fits_beside: Callable[[str, Sequence[str]], Awaitable[bool]] | None = None,
        beside_s: float = 0.0,
    ) -> None:
        """`may_take` is asked before jobs are taken, `must_leave` now and then whether one that runs is to be left.

        Beside others a job runs if it `fits_beside` them, and if it has waited for `beside_s` in vain for a worker that
        runs none. It is not overtaken.

        With `one_per_person` the jobs of one person run one after another.

        `skipped` are ids of jobs that are left to workers of a newer version.
        """
        self.queue, self.lease_s, self.jobs_max, self.poll_s = JobQueue(redis, kind), lease_s, jobs_max, poll_s
        self.skipped, self.may_take, self.must_leave = skipped, may_take, must_leave
        self.one_per_person, self.fits_beside, self.beside_s = one_per_person, fits_beside, beside_s
        self._redis, self._leases = redis, Leases(redis, self.queue, lease_s)
        self._functions = {function.name: function for function in functions}
        self._jobs: dict[asyncio.Task[None], str] = {}  # that run
        self._owners: dict[asyncio.Task[None], Name | None] = {}  # of these
        self._running: dict[asyncio.Task[None], asyncio.Task[float | None]] = {}  # each job's task, and its attempt's
        self._takes_jobs = True
        self._loop: asyncio.Task[Any] | None = None
        self._bug: BaseException | None = None
        self._patience = Patience()

    @property
    def is_busy(self) -> bool:
        """Whether a job runs."""
        return bool(self._running)

    async def run(self) -> None:
        """Take and run jobs until cancelled; raises SetupError where Redis refuses for good."""
        self._loop = asyncio.current_task()
        async for _ in poll(self.poll_s):
            if self._bug:
                raise self._bug
            try:
                if self._has_room:
                    await self._take()
                self._patience.worked()
            except ERRORS as error:
                self._patience.bear(error)
                log.warning("waiting for Redis: %s", meaning_of(error).reason)
                await asyncio.sleep(RETRY_S)

    async def drain(self, within_s: float) -> None:
        """Take no more jobs, and return when those that run are done, at the latest after `within_s`."""
        self._takes_jobs = False
        if self._running:
            await asyncio.wait(self._running, timeout=within_s)

    async def stop(self) -> None:
        """Release every job that is not done, and end."""
        self._takes_jobs = False
        if self._loop:
            self._loop.cancel()
        for attempt in self._running.values():
            attempt.cancel()
        if ending := {*self._running, *filter(None, [self._loop])}:
            await asyncio.wait(ending, timeout=self.lease_s)  # by then the jobs are free in any case

    @property
    def _has_room(self) -> bool:
        return self._takes_jobs and len(self._running) < self.jobs_max

    async def _take(self) -> None:
        """Start the jobs that nobody holds and that may run now, by whose turn it is, while there is room."""
        until_ms = timestamp_ms() - (1000 * self.beside_s if self._running else 0)
        ids = await self._redis.zrangebyscore(self.queue.queue, "-inf", until_ms, start=0, num=JOBS_READ)
        # A job of a newer version would otherwise be taken and given back for ever, and delay the ones behind it.
        open_ids = [job for job in ids if job.decode() not in self.skipped]
        waiting = (await self.queue.order(open_ids))[1] if open_ids else []
        owners = await self.queue.owners(waiting) if self.one_per_person else {}
        waiting = [job for job in waiting if self._is_turn_of(owners.get(job))]
        # Asked only once there is something to take: the answer may cost a request to the store.
        if not waiting or not await self.may_take():
            return
        for job in waiting:
            if not self._has_room:
                return
            owner = owners.get(job)
            if not self._is_turn_of(owner):  # one of theirs has just been taken
                continue
            running = [*self._jobs.values()]
            if running and self.fits_beside and not await self.fits_beside(job, running):
                return
            lease = self._leases.of(job)
            if claim := await lease.claim():
                self._start(lease, claim, owner)

    def _is_turn_of(self, owner: Name | None) -> bool:
        """Whether nothing of a person runs here; None where that does not count."""
        return owner is None or owner not in self._owners.values()

    def _start(self, lease: Lease, claim: Claim, owner: Name | None) -> None:
        attempt = asyncio.create_task(self._attempt(lease.job, claim))
        task = asyncio.create_task(self._run(lease, attempt))
        self._running[task], self._jobs[task], self._owners[task] = attempt, lease.job, owner
        task.add_done_callback(self._forget)

    def _forget(self, task: asyncio.Task[None]) -> None:
        del self._running[task], self._jobs[task], self._owners[task]
        if not task.cancelled() and (error := task.exception()):
            self._bug = error

    async def _run(self, lease: Lease, attempt: asyncio.Task[float | None]) -> None:
        """Await an attempt, and then take the job off the queue or release it."""
        renewing = asyncio.create_task(self._renew(lease, attempt))
        try:
            again_in_s = await attempt
        except asyncio.CancelledError:  # it is left to others
            again_in_s = 0
        finally:
            renewing.cancel()
        # The lease is not renewed any more: finishing takes one script, and gives up when it is overdue.
        if again_in_s is None:
            await lease.finish()
        else:
            log.info("job %s is given back, to be run again in %.0f s", lease.job, again_in_s)
            await lease.release(again_in_s)

    async def _attempt(self, job: str, claim: Claim) -> float | None:
        """Run a job once; return in how many seconds it is to be run again, None if it is over."""
        if claim.body is None:
            log.warning("job %s has expired", job)
            return None
        try:
            name, args, kwargs, *_ = deserialize_job_raw(claim.body, deserializer=from_json)
            function = self._functions[name]
        except (DeserializationError, KeyError):
            log.exception("what is queued as job %s is none of ours, and is dropped", job)
            return None
        context: dict[str, Any] = {"job_id": job, "job_try": claim.attempt}
        try:
            async with asyncio.timeout(function.timeout_s):
                await function.coroutine(context, *args, **kwargs)
        except Retry as retry:
            return (retry.defer_score or 0) / 1000
        except RetryJob:
            return 0
        except Exception:
            log.exception("job %s failed", job)
        return None

    async def _renew(self, lease: Lease, attempt: asyncio.Task[float | None]) -> None:
        """Renew a lease until cancelled; if it is lost, or the job must be left, stop the attempt."""
        while True:
            await asyncio.sleep(lease.length_s / RENEWALS)
            if not await lease.renew():
                log.warning("the lease of job %s is lost, %s: it is left to others", lease.job, lease.why_lost)
            elif await self._is_to_leave():
                log.warning("job %s is left to others: it cannot be ended here", lease.job)
            else:
                continue
            attempt.cancel()
            return

    async def _is_to_leave(self) -> bool:
        try:
            return await self.must_leave()
        except ERRORS:
            return False

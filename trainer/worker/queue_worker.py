"""The worker's loop over one queue: takes jobs in fair turns, runs each under a lease, and takes it off the queue.

Jobs are queued by arq (`storage.queue.job_queue`), and its `Retry` and `RetryJob` ask for another attempt. Its own
worker counts attempts and gives up, trusts marks that nobody owns, and ends with the first error of Redis; this loop
outlives every outage, and a crash is no failure: whoever runs the job counts better.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Container, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from arq.connections import ArqRedis
from arq.jobs import DeserializationError, deserialize_job_raw
from arq.utils import timestamp_ms
from arq.worker import Function, Retry, RetryJob

from storage.queue.broker import from_json
from storage.queue.fair_share import Name
from storage.queue.job_queue import JobQueue
from storage.queue.redis_errors import ERRORS, meaning_of
from storage.service_errors import RetryPolicy
from trainer.worker.lease import RENEWALS, RETRY_S, Claim, Lease, Leases

log = logging.getLogger(__name__)

JOBS_READ = 10_000  # ids that a worker looks through for one that nobody holds
POLL_S = 0.5  # between two looks while jobs wait that are not to be had now, or nobody tells when there are any
IDLE_S = 5.0  # while there are none, for notifications may be lost
AHEAD_S = 0.5  # that a person's second job waits for another worker, before one that has their first takes it ahead
TOGETHER_S = 0.01  # jobs that end or are queued within this time are one reason to look


async def _always() -> bool:
    return True


async def _never() -> bool:
    return False


class _Running(NamedTuple):
    """A job that runs: whose it is, None where that does not count, and the task of its attempt."""

    job: str
    owner: Name | None
    attempt: "asyncio.Task[float | None]"


class QueueWorker:
    """Serves the queue of one kind of job, `jobs_max` at a time, which may change meanwhile."""

    def __init__(
        self,
        redis: ArqRedis,
        kind: str,
        functions: Sequence[Function],
        *,
        lease_s: float,
        jobs_max: int | Callable[[], int] = 1,
        one_per_person: bool = False,
        poll_s: float = POLL_S,
        idle_s: float = IDLE_S,
        skipped: Container[str] = frozenset(),
        may_take: Callable[[], Awaitable[bool]] = _always,
        must_leave: Callable[[], Awaitable[bool]] = _never,
        fits_beside: Callable[[str, Sequence[str]], Awaitable[bool]] | None = None,
        beside_s: float = 0.0,
        is_notified: Callable[[], bool] = lambda: False,
    ) -> None:
        """`may_take` is asked before jobs are taken, `must_leave` now and then whether one that runs is to be left.

        Beside others a job runs if it `fits_beside` them, and if it has waited for `beside_s` in vain for a worker that
        runs none. It is not overtaken.

        While `is_notified`, `wake` is called when a job was queued.

        With `one_per_person` the jobs of one person run one after another, and the next is taken ahead.

        `skipped` are ids of jobs that are left to workers of a newer version.
        """
        self.queue, self.lease_s = JobQueue(redis, kind), lease_s
        self._jobs_max = jobs_max
        self.poll_s, self.idle_s = poll_s, idle_s
        self.skipped, self.may_take, self.must_leave = skipped, may_take, must_leave
        self.one_per_person, self.is_notified = one_per_person, is_notified
        self.fits_beside, self.beside_s = fits_beside, beside_s
        self._redis, self._leases = redis, Leases(redis, self.queue, lease_s)
        self._functions = {function.name: function for function in functions}
        self._running: dict[asyncio.Task[None], _Running] = {}
        self._seen_s: dict[str, float] = {}  # when jobs that wait were seen first
        self._takes_jobs = True
        self._awake = asyncio.Event()  # there is a reason to look at the queue
        self._loop: asyncio.Task[Any] | None = None
        self._bug: BaseException | None = None
        self._retry_policy = RetryPolicy()

    @property
    def jobs_max(self) -> int:
        """How many jobs run at a time."""
        return self._jobs_max() if callable(self._jobs_max) else self._jobs_max

    @property
    def is_busy(self) -> bool:
        """Whether a job runs."""
        return bool(self._running)

    async def run(self) -> None:
        """Take and run jobs until cancelled; raises SetupError where Redis refuses for good."""
        self._loop = asyncio.current_task()
        while True:
            if self._bug:
                raise self._bug
            self._awake.clear()
            try:
                is_waiting = self._has_room and await self._take()
                self._retry_policy.succeeded()
            except ERRORS as error:
                self._retry_policy.failed(error)
                log.warning("waiting for Redis: %s", meaning_of(error).reason)
                await asyncio.sleep(RETRY_S)
            else:
                await self._rest(self.poll_s if is_waiting or not self.is_notified() else self.idle_s)

    def wake(self, kind: str = "") -> None:
        """Look at the queue now, if it is of this kind or none is named."""
        if kind in ("", self.queue.kind):
            self._awake.set()

    async def _rest(self, most_s: float) -> None:
        """Wait until there is a reason to look at the queue, or for that long."""
        with suppress(TimeoutError):
            async with asyncio.timeout(most_s):
                await self._awake.wait()
                await asyncio.sleep(TOGETHER_S)

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
        for running in self._running.values():
            running.attempt.cancel()
        if ending := {*self._running, *filter(None, [self._loop])}:
            await asyncio.wait(ending, timeout=self.lease_s)  # by then the jobs are free in any case

    @property
    def _has_room(self) -> bool:
        return self._takes_jobs and len(self._running) < self.jobs_max

    async def _take(self) -> bool:
        """Start the jobs that nobody holds and that may run now, by whose turn it is, while there is room.

        Returns whether there are jobs that do not run here, and may be had soon.
        """
        queued = await self._redis.zrange(self.queue.queue, 0, JOBS_READ - 1, withscores=True)
        here = {running.job for running in self._running.values()}
        known = {job.decode(): (job, due_ms) for job, due_ms in queued}
        # A job of a newer version would otherwise be taken and given back for ever, and delay the ones behind it.
        others = {job: due_ms for name, (job, due_ms) in known.items() if name not in here and name not in self.skipped}
        due = [job for job, due_ms in others.items() if due_ms <= timestamp_ms()]
        waiting = (await self.queue.order(due))[1] if due else []
        owners = await self.queue.owners(waiting) if self.one_per_person else {}
        self._seen_s = {job: self._seen_s.get(job, time.monotonic()) for job in waiting}
        waiting = [job for job in waiting if self._may_begin(job, owners.get(job))]
        # Asked only once there is something to take: the answer may cost a request to the store.
        if not waiting or not await self.may_take():
            return bool(others)
        for job in waiting:
            if not self._has_room:
                break
            owner = owners.get(job)
            if not self._may_begin(job, owner):  # one of theirs has just been taken
                continue
            running = [each.job for each in self._running.values()]
            if running and self.fits_beside and not await self.fits_beside(job, running):
                break
            lease = self._leases.of(job)
            if claim := await lease.claim():
                self._start(lease, claim, owner)
        return len(others) > len(self._running) - len(here)

    def _may_begin(self, job: str, owner: Name | None) -> bool:
        """Whether a person's job may run here beside what does; an owner of None does not count.

        While much is free, the job after theirs is taken ahead: it is ready to be drawn as soon as the first is.
        """
        waited_s = time.monotonic() - self._seen_s[job]
        if self._running and waited_s < self.beside_s:
            return False
        theirs = sum(owner == running.owner for running in self._running.values())
        if owner is None or not theirs:
            return True
        much_is_free = 2 * len(self._running) <= self.jobs_max
        return theirs == 1 and much_is_free and waited_s >= AHEAD_S

    def _start(self, lease: Lease, claim: Claim, owner: Name | None) -> None:
        attempt = asyncio.create_task(self._attempt(lease.job, claim))
        task = asyncio.create_task(self._run(lease, attempt))
        self._running[task] = _Running(lease.job, owner, attempt)
        task.add_done_callback(self._forget)

    def _forget(self, task: asyncio.Task[None]) -> None:
        del self._running[task]
        self.wake()
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

"""A worker that holds each of its jobs by a lease: owned, renewed, and let go before anybody else may have the job.

arq's own mark on a running job belongs to nobody and lives as long as the longest job may take: when a worker is killed
at night, its job waits for the next day. Here the mark is a lease of seconds. Its holder renews it, and when it cannot,
it stops working before the lease is over. A holder that was frozen notices that too late, so what a job publishes is
fenced once more, by the conditional put of its outcome.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any
from uuid import uuid4

from arq.constants import in_progress_key_prefix, job_key_prefix, retry_key_prefix
from arq.utils import poll
from arq.worker import Worker
from redis.commands.core import AsyncScript

from storage.queue.broker import EXPIRES_MS
from storage.queue.job_queue import ClaimScript
from storage.queue.redis_errors import ERRORS as AWAY
from storage.queue.redis_errors import meaning_of
from storage.service_errors import Patience

log = logging.getLogger(__name__)

RETRY_S = 0.5  # between two tries to reach Redis
BEATS = 6  # renewals in the length of a lease
FENCE = 0.8  # of its length: a holder that could not renew for so long stops
TRIES = 2**31  # arq counts a crash like a failure, and gives up on both: whoever runs the job counts better
JOBS_READ = 10_000  # ids that a worker looks through for one that nobody holds; arq's 100 would hide a long queue

CLAIM = """
if redis.call('get', KEYS[1]) ~= '1' then return 0 end
redis.call('set', KEYS[1], ARGV[1], 'PX', ARGV[2])
"""  # arq's mark becomes ours; if two workers marked the job, the first has it
RENEW = """
local owner = redis.call('get', KEYS[1])
if owner and owner ~= ARGV[1] then return 0 end
redis.call('set', KEYS[1], ARGV[1], 'PX', ARGV[2])
redis.call('pexpire', KEYS[2], ARGV[3])
redis.call('pexpire', KEYS[3], ARGV[3])
return 1
"""  # a lease that is gone was lost with all that Redis knew: its holder, who is in time, has it again


class Lease:
    """One worker's hold on one job."""

    def __init__(self, script: Callable[[str], AsyncScript], job: str, length_s: float) -> None:
        """`script` makes some Lua known to Redis."""
        self.job, self.length_s = job, length_s
        self.lost, self.why_lost = False, "another worker has it"
        self._script, self._renew = script, script(RENEW)
        self._keys = [prefix + job for prefix in (in_progress_key_prefix, job_key_prefix, retry_key_prefix)]
        self._args: list[str | int] = [uuid4().hex, int(length_s * 1000), EXPIRES_MS]
        self._renewed_s = time.monotonic()

    async def claim(self, besides: ClaimScript) -> bool:
        """Take the job that arq has just marked, and do something besides; tell whether it is ours."""
        self._renewed_s = time.monotonic()
        claim = self._script(f"{CLAIM}{besides.lua}return 1")
        return bool(await claim(keys=[self._keys[0], *besides.keys], args=[*self._args[:2], *besides.args]))

    @property
    def fresh(self) -> bool:
        """Whether it was ours a moment ago, so that there is no need to ask."""
        return not self.lost and time.monotonic() - self._renewed_s < self.length_s / 2

    async def renew(self) -> bool:
        """Hold on to the job for another `length_s`; tell whether it still is ours, as far as can be known."""
        began_s = time.monotonic()
        if self.lost or self._overdue():  # somebody else may have had it meanwhile
            self._lose(f"it was not renewed for {began_s - self._renewed_s:.1f} s")
        else:
            try:
                await self._ask_again(began_s)
            except AWAY as error:
                reason = meaning_of(error).reason
                log.warning("the lease of job %s could not be renewed: Redis: %s", self.job, reason)
                if self._overdue():
                    self._lose(f"it could not be renewed in time, for Redis: {reason}")
        return not self.lost

    def _lose(self, why: str) -> None:
        if not self.lost:
            self.lost, self.why_lost = True, why

    async def _ask_again(self, began_s: float) -> None:
        async with asyncio.timeout(self.length_s / BEATS):
            self.lost = not await self._renew(keys=self._keys, args=self._args)
        self._renewed_s = began_s

    def _overdue(self) -> bool:
        return time.monotonic() - self._renewed_s > FENCE * self.length_s


async def _always() -> bool:
    return True


async def _never() -> bool:
    return False


class LeasedWorker(Worker):
    """arq's worker with leases, which outlives every outage of Redis and counts no crash as a failure."""

    def __init__(
        self,
        *,
        lease_s: float,
        may_take: Callable[[], Awaitable[bool]] = _always,
        must_leave: Callable[[], Awaitable[bool]] = _never,
        **options: Any,
    ) -> None:
        """`may_take` is asked before jobs are taken, `must_leave` now and then whether one that runs is to be left."""
        super().__init__(max_tries=TRIES, queue_read_limit=JOBS_READ, handle_signals=False, **options)
        self.lease_s = self.in_progress_timeout_s = lease_s  # the latter is how long arq's own mark lives
        self.may_take, self.must_leave = may_take, must_leave
        self._leases: dict[str, Lease] = {}
        self._patience = Patience()
        self._script = lru_cache(8)(lambda lua: self.pool.register_script(lua))  # which hashes it

    async def main(self) -> None:
        """Take jobs until cancelled. arq's own begins with INFO and DBSIZE for its log, which not every user may ask.

        Raises SetupError where Redis refuses for good.
        """
        async for _ in poll(self.poll_delay_s):
            await self._poll_iteration()

    @property
    def is_busy(self) -> bool:
        """Whether a job runs."""
        return bool(self._leases)

    async def drain(self, within_s: float) -> None:
        """Take no more jobs, and return when those that run are done, at the latest after `within_s`."""
        self.allow_pick_jobs = False
        if self.tasks:
            await asyncio.wait(self.tasks.values(), timeout=within_s)

    async def stop(self) -> None:
        """Give every job back that is not done, and end."""
        self.allow_pick_jobs = False
        running = [task for task in (*self.tasks.values(), self.main_task) if task]
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running, timeout=self.lease_s)  # by then the jobs are free in any case

    async def start_jobs(self, job_ids: list[bytes]) -> None:
        """Start the first of these jobs that nobody holds."""
        if not await self.may_take():
            return
        try:
            await super().start_jobs(job_ids)
        except AWAY:
            self._release_sem_dec_counter_on_complete()  # arq took a slot for the job, and would never give it back
            raise

    async def run_job(self, job_id: str, score: int) -> None:
        """Run a job for as long as its lease is ours."""
        lease = Lease(self._script, job_id, self.lease_s)
        if not await lease.claim(self.besides(job_id)):
            return log.info("job %s is somebody else's", job_id)
        self._leases[job_id] = lease
        try:
            with self._kept(lease):
                await super().run_job(job_id, score)
        finally:
            del self._leases[job_id]

    @contextmanager
    def _kept(self, lease: Lease) -> Iterator[None]:
        """Renew a lease meanwhile. Many jobs are over before that is needed, so its task begins only then."""
        keepers: list[asyncio.Task[None]] = []

        def keep() -> None:
            keepers.append(asyncio.create_task(self._keep(lease)))

        first = asyncio.get_running_loop().call_later(lease.length_s / BEATS, keep)
        try:
            yield
        finally:
            first.cancel()
            for keeper in keepers:
                keeper.cancel()

    def besides(self, job_id: str) -> ClaimScript:
        """What is done in Redis when a job is claimed."""
        return ClaimScript("", [], [])

    async def _keep(self, lease: Lease) -> None:
        """Renew a lease until `run_job` is over; if it is lost, stop the job."""
        while True:
            task = self.job_tasks.get(lease.job)  # None: it is about to begin, or about to be over
            if not await lease.renew() and task:
                log.warning("the lease of job %s is lost, %s: it is left to others", lease.job, lease.why_lost)
                task.cancel()
                return
            if task and await self._is_to_leave():
                log.warning("job %s is left to others: it cannot be ended here", lease.job)
                task.cancel()
                return
            await asyncio.sleep(lease.length_s / BEATS)

    async def _is_to_leave(self) -> bool:
        try:
            return await self.must_leave()
        except AWAY:
            return False

    async def finish_job(self, job_id: str, *ending: Any) -> None:
        """Take a job off the queue, or give it back, if it still is ours."""
        await self._as_owner(job_id, ending, super().finish_job)

    async def finish_failed_job(self, job_id: str, *ending: Any) -> None:
        """Take a job off the queue that could not be run, if it still is ours."""
        await self._as_owner(job_id, ending, super().finish_failed_job)

    async def _as_owner(self, job_id: str, ending: tuple[Any, ...], finish: Any) -> None:
        lease = self._leases[job_id]
        while lease.fresh or await lease.renew():
            try:
                return await finish(job_id, *ending)  # type: ignore[no-any-return]
            except AWAY:
                await asyncio.sleep(RETRY_S)

    async def _poll_iteration(self) -> None:
        try:
            await super()._poll_iteration()
            self._patience.worked()
        except AWAY as error:
            self._patience.bear(error)
            log.warning("waiting for Redis: %s", meaning_of(error).reason)
            await asyncio.sleep(RETRY_S)

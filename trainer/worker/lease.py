"""A lease on one job: taken, renewed, and given up before anybody else may have the job.

Keys and values are arq's (`arq.constants`): a queue is a sorted set of job ids by the time from when on each may run;
beside it are the job's body, the number of its attempts, and a mark while it runs. arq's own mark belongs to nobody and
lives as long as the longest job may take: when a worker is killed at night, its job waits for the next day. Here the
mark is a lease of seconds. Its holder renews it, and when it cannot, it stops working before the lease is over. A
holder that was frozen notices that too late, so what a job publishes is fenced once more, by the conditional put of its
outcome.
"""

import asyncio
import logging
import time
from typing import NamedTuple
from uuid import uuid4

from arq.connections import ArqRedis
from arq.constants import in_progress_key_prefix, job_key_prefix, retry_key_prefix
from arq.utils import timestamp_ms
from redis.commands.core import AsyncScript

from storage.queue.broker import EXPIRES_MS
from storage.queue.job_queue import BEGIN, REMEMBERED, JobQueue
from storage.queue.redis_errors import ERRORS, meaning_of

log = logging.getLogger(__name__)

RETRY_S = 0.5  # between two tries to reach Redis
RENEWALS = 6  # in the length of a lease
FENCE = 0.8  # of its length: a holder that could not renew for so long stops

CLAIM = f"""{BEGIN}
if redis.call('exists', KEYS[1]) == 1 then return {{}} end
local score = redis.call('zscore', KEYS[2], ARGV[1])
if not score or tonumber(score) > tonumber(ARGV[2]) then return {{}} end
redis.call('set', KEYS[1], ARGV[3], 'PX', ARGV[4])
begin(KEYS[5], KEYS[6], ARGV[1], ARGV[6])
local attempt = redis.call('incr', KEYS[4])
redis.call('pexpire', KEYS[4], ARGV[5])
return {{attempt, redis.call('get', KEYS[3])}}
"""  # a job that is gone, runs elsewhere or is to wait for its next attempt is left alone
RENEW = """
local owner = redis.call('get', KEYS[1])
if owner and owner ~= ARGV[1] then return 0 end
redis.call('set', KEYS[1], ARGV[1], 'PX', ARGV[2])
redis.call('pexpire', KEYS[3], ARGV[3])
redis.call('pexpire', KEYS[4], ARGV[3])
return 1
"""  # a lease that is gone was lost with all that Redis knew: its holder, who is in time, has it again
FINISH = """
local owner = redis.call('get', KEYS[1])
if owner and owner ~= ARGV[1] then return 0 end
redis.call('del', KEYS[1], KEYS[3], KEYS[4])
redis.call('zrem', KEYS[2], ARGV[2])
return 1
"""
RELEASE = """
local owner = redis.call('get', KEYS[1])
if owner and owner ~= ARGV[1] then return 0 end
redis.call('del', KEYS[1])
if ARGV[3] ~= '' then redis.call('zadd', KEYS[2], 'XX', ARGV[3], ARGV[2]) end
return 1
"""


class Claim(NamedTuple):
    """A job that was claimed: which attempt at it begins, from 1, and its body, None if that has expired."""

    attempt: int
    body: bytes | None


class Leases:
    """Leases on the jobs of one queue."""

    def __init__(self, redis: ArqRedis, queue: JobQueue, length_s: float) -> None:
        self.queue, self.length_s = queue, length_s
        scripts = (redis.register_script(lua) for lua in (CLAIM, RENEW, FINISH, RELEASE))
        self.claim, self.renew, self.finish, self.release = scripts

    def of(self, job: str) -> "Lease":
        """A lease on a job, not claimed yet."""
        return Lease(self, job)


class Lease:
    """The lease of one worker on one job."""

    def __init__(self, leases: Leases, job: str) -> None:
        self.job, self.length_s = job, leases.length_s
        self.lost, self.why_lost = False, "another worker has it"
        self._scripts, self._token = leases, uuid4().hex
        running, body, attempts = in_progress_key_prefix + job, job_key_prefix + job, retry_key_prefix + job
        self._keys = [running, leases.queue.queue, body, attempts]
        self._renewed_s = time.monotonic()

    async def claim(self) -> Claim | None:
        """Take the job, which also is its owner's turn; None if it is not to be had now."""
        # From before the request: the lease may have begun at any time since.
        self._renewed_s = time.monotonic()
        keys = [*self._keys, *self._scripts.queue.turn_keys]
        length_ms = int(self.length_s * 1000)
        args: list[str | int] = [self.job, timestamp_ms(), self._token, length_ms, EXPIRES_MS, REMEMBERED]
        claimed = await self._scripts.claim(keys=keys, args=args)
        if claimed and time.monotonic() - self._renewed_s > self.length_s / RENEWALS:
            # The answer came late: how much of the lease is left is certain only once it is renewed.
            await self._ask_again(time.monotonic())
        return Claim(*claimed) if claimed and not self.lost else None

    async def renew(self) -> bool:
        """Hold on to the job for another `length_s`; tell whether it still is ours, as far as can be known."""
        began_s = time.monotonic()
        if self.lost or self._overdue():  # somebody else may have had it meanwhile
            self._lose(f"it was not renewed for {began_s - self._renewed_s:.1f} s")
        else:
            try:
                await self._ask_again(began_s)
            except ERRORS as error:
                reason = meaning_of(error).reason
                log.warning("the lease of job %s could not be renewed: Redis: %s", self.job, reason)
                if self._overdue():
                    self._lose(f"it could not be renewed in time, for Redis: {reason}")
        return not self.lost

    async def finish(self) -> None:
        """Take the job off the queue, if it still is ours."""
        await self._as_owner(self._scripts.finish, self.job)

    async def release(self, again_in_s: float = 0) -> None:
        """Give the job back to the queue, if it still is ours, to be taken again after a while."""
        due_ms = timestamp_ms() + int(again_in_s * 1000) if again_in_s else ""
        await self._as_owner(self._scripts.release, self.job, due_ms)

    def _lose(self, why: str) -> None:
        if not self.lost:
            self.lost, self.why_lost = True, why

    async def _ask_again(self, began_s: float) -> None:
        # No longer than until the next renewal: one that hangs must not use up the lease.
        async with asyncio.timeout(self.length_s / RENEWALS):
            args: list[str | int] = [self._token, int(self.length_s * 1000), EXPIRES_MS]
            self.lost = not await self._scripts.renew(keys=self._keys, args=args)
        self._renewed_s = began_s

    async def _as_owner(self, script: AsyncScript, *args: str | int) -> None:
        """Run a script of the owner's, through an outage of Redis if need be, for as long as the lease lasts."""
        while not (self.lost or self._overdue()):
            try:
                self.lost = not await script(keys=self._keys, args=(self._token, *args))
            except ERRORS:
                await asyncio.sleep(RETRY_S)
            else:
                return

    def _overdue(self) -> bool:
        return time.monotonic() - self._renewed_s > FENCE * self.length_s

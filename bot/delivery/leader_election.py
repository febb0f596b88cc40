"""Leader election among processes with the same token: a lock in Redis that the leader renews. The others stand by."""

import asyncio
import logging
from collections.abc import Awaitable

from arq.connections import ArqRedis
from redis.exceptions import LockError

from storage.queue.redis_errors import ERRORS
from storage.service_errors import RetryPolicy, reason_of

log = logging.getLogger(__name__)

HELD_S = 10.0  # a leader that is silent for so long has lost
RENEW_S = 3.0
TRY_S = 1.0


class LeaderLock:
    """Which of the processes that give the same name is the leader."""

    def __init__(self, redis: ArqRedis, name: str) -> None:
        self._lock = redis.lock(f"darkroom:leader:{name}", timeout=HELD_S, sleep=TRY_S, thread_local=False)

    async def wait(self) -> None:
        """Return once this process leads; that takes up to ten seconds after the last leader died.

        Raises SetupError where Redis refuses for good.
        """
        retry_policy = RetryPolicy()
        while True:
            try:
                if await self._lock.acquire():
                    return
            except ERRORS as error:
                retry_policy.failed(error)
                log.warning("standing by: %s", reason_of(error))
                await asyncio.sleep(TRY_S)

    async def lost(self) -> None:
        """Renew the lock; return when another process may have it, a second before it can."""
        loop = asyncio.get_running_loop()
        renewed_s = loop.time()
        while loop.time() - renewed_s < HELD_S - 1:
            pause_s = RENEW_S
            try:
                async with asyncio.timeout(RENEW_S):
                    await self._lock.reacquire()
                renewed_s = loop.time()
            except LockError:
                return
            except ERRORS as error:  # a TimeoutError is an OSError
                log.warning("cannot renew the leader lock: %s", reason_of(error))
                pause_s = TRY_S
            await asyncio.sleep(pause_s)

    async def resign(self) -> None:
        """Release the lock, so that the next one leads at once."""
        try:
            await self._lock.release()
        except ERRORS as error:
            log.info("the leader lock was gone already: %s", reason_of(error))


async def first_completed(*works: Awaitable[None]) -> None:
    """Return, or raise, with the first that ends; the others are cancelled."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        # The others are awaited: what they hold, a connection say, is closed before the caller goes on.
        await asyncio.gather(*tasks, return_exceptions=True)

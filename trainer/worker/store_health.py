"""Whether this worker reaches the store. One that does not takes no jobs, and leaves its own to those that do.

The store is asked often while a job runs, seldom while none does, and once more before one is taken.
"""

import asyncio
import logging
import time
from collections.abc import Callable

from arq.connections import ArqRedis

from storage.objects.store import Store
from storage.queue.worker_registry import living_workers
from storage.service_errors import SERVICE_ERRORS, reason_of
from trainer.worker.lease import FENCE, RENEWALS

log = logging.getLogger(__name__)

DOUBT = FENCE / 2  # of a lease: a worker that the store was silent to for so long is not to be counted on
IDLE_S = 20.0  # between two questions while no job runs: on S3 each costs money
NOTHING = "probes/nothing"  # an object that is not there: its absence is answer enough


class StoreHealth:
    """Asks the store, and remembers when it answered."""

    def __init__(
        self, store: Store, redis: ArqRedis, lease_s: float, is_busy: Callable[[], bool] = lambda: True
    ) -> None:
        """`is_busy` tells whether jobs run, which need the store."""
        self.store, self.redis, self.lease_s, self.is_busy = store, redis, lease_s, is_busy
        self._heard_s = time.monotonic()

    def good(self) -> bool:
        """Whether the store answered when it was asked last, so that this worker can be counted on."""
        return self._silent_s < DOUBT * self.lease_s + (0 if self.is_busy() else IDLE_S)

    async def ready(self) -> bool:
        """Whether the store answers now, so that a job can be taken."""
        if self._silent_s >= self.lease_s / RENEWALS:
            await self._ask()
        return self._silent_s < DOUBT * self.lease_s

    async def is_needed_elsewhere(self, kind: str) -> bool:
        """Whether a job that runs here had better run elsewhere: the store is silent to us, and not to another worker.

        Where it is silent to all, what runs may as well go on until it has to save something. Who is in doubt takes
        back that it lives, long before it looks who else does.
        """
        return self._silent_s > FENCE * self.lease_s and "" in await living_workers(self.redis, kind)

    @property
    def _silent_s(self) -> float:
        return time.monotonic() - self._heard_s

    async def keep_looking(self) -> None:
        """Ask the store again and again, until cancelled."""
        while True:
            if self.is_busy() or self._silent_s >= IDLE_S:
                await self._ask()
            await asyncio.sleep(self.lease_s / RENEWALS)

    async def _ask(self) -> None:
        try:
            await self.store.exists(NOTHING)
            self._heard_s = time.monotonic()
        except SERVICE_ERRORS as error:
            log.warning("no jobs are taken: %s", reason_of(error))

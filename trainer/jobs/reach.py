"""Whether this worker reaches the store. One that does not takes no jobs, and leaves its own to those that do."""

import asyncio
import logging
import time

from arq.connections import ArqRedis

from storage import queue
from storage.files import Store
from storage.service_errors import SERVICE_ERRORS, reason_of
from trainer.jobs.lease import BEATS, FENCE

log = logging.getLogger(__name__)

DOUBT = FENCE / 2  # of a lease: a worker that the store was silent to for so long is not to be counted on
NOTHING = "probes/nothing"  # an object that is not there: its absence is answer enough


class Reach:
    """Asks the store several times in a lease, and remembers when it answered."""

    def __init__(self, store: Store, redis: ArqRedis, lease_s: float) -> None:
        self.store, self.redis, self.lease_s = store, redis, lease_s
        self._heard_s = time.monotonic()

    def good(self) -> bool:
        """Whether the store answered a moment ago, so that jobs can be taken."""
        return self._silent_s < DOUBT * self.lease_s

    async def is_needed_elsewhere(self, kind: str) -> bool:
        """Whether a job that runs here had better run elsewhere: the store is silent to us, and not to another worker.

        Where it is silent to all, what runs may as well go on until it has to save something. Who is in doubt takes
        back that it lives, long before it looks who else does.
        """
        return self._silent_s > FENCE * self.lease_s and "" in await queue.workers(self.redis, kind)

    @property
    def _silent_s(self) -> float:
        return time.monotonic() - self._heard_s

    async def keep_looking(self) -> None:
        """Ask the store again and again, until cancelled."""
        while True:
            try:
                await self.store.exists(NOTHING)
                self._heard_s = time.monotonic()
            except SERVICE_ERRORS as error:
                log.warning("no jobs are taken: %s", reason_of(error))
            await asyncio.sleep(self.lease_s / BEATS)

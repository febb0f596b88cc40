"""Events of chats that were heard: chats deliver again what they think was not, and one event is to be one job.

Redis tells quickly, for all bots; the store still tells after Redis has lost everything.
"""

import asyncio
import hashlib
import logging
import time

from arq.connections import ArqRedis

from storage.errors import StoreError
from storage.objects.store import Store

log = logging.getLogger(__name__)

EVENTS = "events/"
DAY_S = 24 * 3600  # chats give up within hours
NOTE_S = 1.0  # nobody waits longer for the store to be answered


async def is_first(redis: ArqRedis, store: Store, event: str) -> bool:
    """Note an event; tell whether that is the first time. Raises RedisError; a store that fails is not asked."""
    if not await redis.set(f"darkroom:event:{event}", b"1", nx=True, ex=DAY_S):
        return False
    try:
        async with asyncio.timeout(NOTE_S):
            return await _note(store, event)
    except (StoreError, OSError) as error:  # a TimeoutError is an OSError
        log.warning("the store does not say whether an event was heard before: %s", error)
        return True


async def _note(store: Store, event: str) -> bool:
    name = hashlib.sha256(event.encode()).hexdigest()[:40]
    if await store.exists(f"{_day(1)}{name}"):
        return False
    return await store.put_new(f"{_day(0)}{name}", b"")


async def sweep(store: Store) -> None:
    """Delete the events of the days before yesterday."""
    today = _day(0)
    for day in sorted({name[: len(today)] for name in await store.names(EVENTS) if name < _day(1)}):
        await store.delete_prefix(day)


def _day(ago: int) -> str:
    return time.strftime(f"{EVENTS}%Y-%m-%d/", time.gmtime(time.time() - ago * DAY_S))

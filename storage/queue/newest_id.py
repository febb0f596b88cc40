"""The newest id that bots have made, in Redis: a bot that starts after the clock went back goes on from there."""

import asyncio
import logging

from arq.connections import ArqRedis

from storage.ids import CLOCK, is_id, new_id
from storage.queue.redis_errors import ERRORS, meaning_of

log = logging.getLogger(__name__)

KEY = "darkroom:newest-id"
EVERY_S = 60.0


async def load_newest_id(redis: ArqRedis) -> None:
    """Advance this process's clock of ids past the newest id that is known. Raises RedisError."""
    newest = (await redis.get(KEY) or b"").decode(errors="replace")
    if is_id(newest):
        CLOCK.see(newest)


async def keep_newest_id(redis: ArqRedis) -> None:
    """Note a new id now and every minute, until cancelled: later ones sort after it."""
    while True:
        try:
            await load_newest_id(redis)  # others may be ahead
            await redis.set(KEY, new_id())
        except ERRORS as error:
            log.warning("the newest id is not noted: Redis cannot be used: %s.", meaning_of(error).reason)
        await asyncio.sleep(EVERY_S)

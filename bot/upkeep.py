"""What bots tidy up, now and every hour: what was asked and never answered, and what only had to last a day."""

import asyncio
import logging

from arq.connections import ArqRedis
from redis.exceptions import RedisError

from bot import heard
from bot.answers import drafts
from bot.asking import button_ids
from storage.errors import StoreError
from storage.files import Store

log = logging.getLogger(__name__)

TIDIED_KEY = "darkroom:tidied"  # who sets it tidies up, for all bots
EVERY_S = 3600.0
POLL_S = 60.0


async def keep_tidy(store: Store, redis: ArqRedis) -> None:
    """Tidy up every hour, until cancelled."""
    while True:
        try:
            if await redis.set(TIDIED_KEY, b"1", nx=True, px=int(1000 * EVERY_S)):
                for sweep in (drafts.sweep, button_ids.sweep, heard.sweep):
                    await sweep(store)
        except (StoreError, RedisError, OSError) as error:
            log.warning("cannot tidy up, which waits until the next hour: %s", error)
        await asyncio.sleep(POLL_S)

"""What bots tidy up, now and every hour: what was asked and never answered, and what only had to last a day."""

import asyncio
import logging
import time

from arq.connections import ArqRedis

from bot import heard
from bot.answers import consents, drafts
from bot.asking import button_ids
from bot.following import open_posts
from bot.following.departures import forget_left_spaces
from storage import forgetting, store_probe
from storage.files import Store
from storage.service_errors import SERVICE_ERRORS, reason_of

log = logging.getLogger(__name__)

DAY_S = 24 * 3600
UNFINISHED_S = 3600.0  # nothing is written for so long
REMAINS_KEY = "darkroom:remains-swept"
TIDIED_KEY = "darkroom:tidied"  # who sets it tidies up, for all bots
EVERY_S = 3600.0
POLL_S = 60.0


async def keep_tidy(store: Store, redis: ArqRedis, forget_after_days: int = 30) -> None:
    """Tidy up every hour, until cancelled.

    What was left is forgotten from the second hour on: by then a bot that is invited again has said so.
    """
    settled_s = time.monotonic() + EVERY_S
    while True:
        try:
            if await redis.set(TIDIED_KEY, b"1", nx=True, px=int(1000 * EVERY_S)):
                await _sweep_remains(store, redis)
                for sweep in (
                    drafts.sweep,
                    consents.sweep,
                    button_ids.sweep,
                    heard.sweep,
                    open_posts.sweep,
                    store_probe.sweep,
                ):
                    await sweep(store)
                if time.monotonic() > settled_s:
                    await forget_left_spaces(store, forget_after_days * DAY_S)
        except SERVICE_ERRORS as error:
            log.warning("cannot tidy up, which waits until the next hour: %s", reason_of(error))
        await asyncio.sleep(POLL_S)


async def _sweep_remains(store: Store, redis: ArqRedis) -> None:
    """Delete once a day what reads everything to be found: half-written files, and hashes in old receipts."""
    if await redis.set(REMAINS_KEY, b"1", nx=True, ex=DAY_S):
        await store.sweep_unfinished(UNFINISHED_S)
        await forgetting.clean_receipts(store)

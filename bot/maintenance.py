"""What bots tidy up, now and every hour: what was asked and never answered, and what only had to last a day."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from functools import partial

from arq.connections import ArqRedis

from bot.commands import button_ids, consents, drafts
from bot.commands.departures import forget_left_spaces
from bot.core import dedupe
from bot.delivery import post_store
from storage.contract import posted_messages
from storage.lifecycle import erasure
from storage.objects import store_probe
from storage.objects.store import Store
from storage.service_errors import SERVICE_ERRORS, reason_of

log = logging.getLogger(__name__)

DAY_S = 24 * 3600
UNFINISHED_S = 3600.0  # nothing is written for so long
REMAINS_KEY = "darkroom:remains-swept"
TIDIED_KEY = "darkroom:tidied"  # who sets it tidies up, for all bots
EVERY_S = 3600.0
POLL_S = 60.0
SWEEPS: dict[str, Callable[[Store], Awaitable[None]]] = {
    "drafts": drafts.sweep,
    "consents": consents.sweep,
    "buttons": button_ids.sweep,
    "events": dedupe.sweep,
    "posts": post_store.sweep,
    "probes": store_probe.sweep,
    "messages to take back": posted_messages.sweep,
}


async def keep_tidy(store: Store, redis: ArqRedis, forget_after_days: int = 30) -> None:
    """Tidy up every hour, until cancelled.

    What was left is forgotten from the second hour on: by then a bot that is invited again has said so.
    """
    settled_s = time.monotonic() + EVERY_S
    while True:
        try:
            # The key is the lock and the clock of all bots at once; it is gone when Redis was wiped, which only
            # tidies early.
            is_due = bool(await redis.set(TIDIED_KEY, b"1", nx=True, px=int(1000 * EVERY_S)))
        except SERVICE_ERRORS as error:
            log.warning("cannot tidy up yet: %s", reason_of(error))
            is_due = False
        if is_due:
            grace_s = forget_after_days * DAY_S if time.monotonic() > settled_s else None
            await tidy(store, redis, grace_s)
        await asyncio.sleep(POLL_S)


async def tidy(store: Store, redis: ArqRedis, grace_s: float | None) -> None:
    """Do each chore once, whatever becomes of the others.

    Spaces that the bot left longer ago than the grace are forgotten; without a grace, none are.
    """
    chores: dict[str, Callable[[], Awaitable[None]]] = {
        "half-written files and old receipts": lambda: _sweep_remains(store, redis),
        **{name: partial(sweep, store) for name, sweep in SWEEPS.items()},
    }
    if grace_s is not None:
        chores["spaces that were left"] = lambda: forget_left_spaces(store, grace_s)
    for name, chore in chores.items():
        try:
            await chore()
        except SERVICE_ERRORS as error:
            log.warning("cannot tidy up %s, which waits until the next hour: %s", name, reason_of(error))
        # One broken chore must not keep the others from being done.
        except Exception:
            log.exception("tidying up %s failed", name)


async def _sweep_remains(store: Store, redis: ArqRedis) -> None:
    """Delete once a day what reads everything to be found: half-written files, and hashes in old receipts."""
    if await redis.set(REMAINS_KEY, b"1", nx=True, ex=DAY_S):
        await store.sweep_unfinished(UNFINISHED_S)
        await erasure.clean_receipts(store)

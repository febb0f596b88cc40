"""Pub/sub: subscriptions that outlive their connections, and the notifications that a job was queued.

What is published may be lost. Workers look now and then anyway, and often where nobody may subscribe.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from arq.connections import ArqRedis

from storage.queue.redis_client import PrefixedRedis
from storage.queue.redis_errors import ERRORS, meaning_of

log = logging.getLogger(__name__)

QUEUED = "darkroom:queued"  # the channel on which the kind of each job that was queued is published
SILENT_S = 15.0  # a connection that has said nothing for so long is asked whether it lives
AGAIN_S = 2.0  # between two tries to subscribe


def channel_name(redis: ArqRedis, name: str) -> str:
    """The channel of that name in this deployment."""
    return redis.channel(name) if isinstance(redis, PrefixedRedis) else name


def _nothing() -> None:
    pass


class Subscription:
    """Hands on what is published on a channel; `is_alive` says whether it can, for not every user may subscribe."""

    def __init__(
        self, redis: ArqRedis, name: str, on_message: Callable[[bytes], None], begun: Callable[[], None] = _nothing
    ) -> None:
        """`begun` is called whenever a connection has subscribed: what was published before was not heard."""
        self.redis, self.name, self.on_message, self.begun = redis, name, on_message, begun
        self.is_alive = False  # as far as is known: a connection may die without a word

    async def run(self) -> None:
        """Subscribe, and again whenever the connection breaks, until cancelled."""
        while True:
            try:
                async with self.redis.pubsub() as channel:
                    await channel.subscribe(channel_name(self.redis, self.name))
                    await self._receive(channel)
            except ERRORS as error:
                log.info("nothing is heard on %s at the moment: %s", self.name, meaning_of(error).reason)
            finally:
                self.is_alive = False
            await asyncio.sleep(AGAIN_S)

    async def _receive(self, channel: Any) -> None:
        """Receive what is published, until the connection does not even answer a ping."""
        asked = False
        while True:
            began_s = time.monotonic()
            message = await channel.get_message(timeout=SILENT_S)
            silent = not message and time.monotonic() - began_s >= SILENT_S  # answers to pings come as nothing
            if message and message["type"] == "subscribe":
                self.is_alive = True
                self.begun()
            elif message and message["type"] == "message":
                self.on_message(message["data"])
            # The ping was not answered either: the connection is dead, though nothing closed it.
            if silent and asked:
                return
            if silent:
                await channel.ping()
            asked = silent


async def notify_queued(redis: ArqRedis, kind: str) -> None:
    """Tell workers that a job of this kind was queued; one that fails is no loss but of time."""
    with suppress(*ERRORS):
        await redis.publish(channel_name(redis, QUEUED), kind)


def queue_notifications(redis: ArqRedis, wake: Callable[[str], None]) -> Subscription:
    """A subscription that calls `wake` with each kind that has a new job, with "" where any may have one."""
    return Subscription(redis, QUEUED, lambda kind: wake(kind.decode(errors="replace")), lambda: wake(""))

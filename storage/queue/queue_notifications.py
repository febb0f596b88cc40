"""Notifications that a job was queued, by pub/sub: workers look at once, and need not ask again and again.

They may be lost. Workers look now and then anyway, and often where nobody may subscribe.
"""

from collections.abc import Callable
from contextlib import suppress

from arq.connections import ArqRedis

from storage.queue.redis_errors import ERRORS
from storage.queue.subscription import Subscription, channel_name

QUEUED = "darkroom:queued"  # the channel; what is published is a kind of job


async def notify_queued(redis: ArqRedis, kind: str) -> None:
    """Tell workers that a job of this kind was queued; one that fails is no loss but of time."""
    with suppress(*ERRORS):
        await redis.publish(channel_name(redis, QUEUED), kind)


def queue_notifications(redis: ArqRedis, wake: Callable[[str], None]) -> Subscription:
    """A subscription that calls `wake` with each kind that has a new job, with "" where any may have one."""
    return Subscription(redis, QUEUED, lambda kind: wake(kind.decode(errors="replace")), lambda: wake(""))

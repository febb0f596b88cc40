"""Events of jobs as Redis publishes them: one subscription for all who follow jobs in this process.

They only make things quick. What is lost, with a connection or where a Redis user may not subscribe, is found out by
whoever asks Redis and the store now and then.
"""

import asyncio
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from arq.connections import ArqRedis
from pydantic import ValidationError

from storage.contract.progress import Progress
from storage.queue.job_progress import EVENTS, JobEvent
from storage.queue.subscription import Subscription


class Inbox:
    """What was published of one job and not taken yet: the newest progress, and whether the store has more."""

    def __init__(self) -> None:
        self._progress: Progress | None = None
        self._changed = False
        self._something = asyncio.Event()

    def put(self, event: JobEvent) -> None:
        """Leave an event."""
        self._progress, self._changed = event.progress or self._progress, self._changed or event.changed
        self._something.set()

    async def take(self, wait_s: float) -> tuple[Progress | None, bool]:
        """Wait for news; nothing and False after `wait_s` without any."""
        with suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await self._something.wait()
        news = self._progress, self._changed
        self._progress, self._changed = None, False
        self._something.clear()
        return news


class JobEvents:
    """The events of a deployment, by job."""

    def __init__(self, redis: ArqRedis) -> None:
        self._subscription = Subscription(redis, EVENTS, self._hear)
        self._inboxes: dict[str, list[Inbox]] = defaultdict(list)
        self._listening: asyncio.Task[None] | None = None

    @contextmanager
    def subscribe(self, job: str) -> Iterator[Inbox]:
        """Subscribe to a job's events while the block runs. The first subscriber opens the connection."""
        if not self._listening or self._listening.done():  # a surprise may have ended it
            self._listening = asyncio.create_task(self._subscription.run())
        inbox = Inbox()
        self._inboxes[job].append(inbox)
        try:
            yield inbox
        finally:
            self._inboxes[job].remove(inbox)
            if not self._inboxes[job]:
                del self._inboxes[job]

    async def close(self) -> None:
        """Stop listening."""
        if self._listening:
            self._listening.cancel()
            await asyncio.wait([self._listening])

    def _hear(self, body: bytes) -> None:
        try:
            event = JobEvent.model_validate_json(body)
        except ValidationError:  # of another version
            return
        for inbox in self._inboxes.get(event.job, ()):
            inbox.put(event)

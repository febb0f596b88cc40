"""What runs around a command on one machine: the queue and a worker, started where missing and stopped at the end."""

import asyncio
import time
from collections.abc import Coroutine
from contextlib import suppress
from types import TracebackType
from typing import Any, TypeVar

from arq.connections import ArqRedis

from bot.local.valkey import Say, Valkey
from bot.local.worker_supervisor import WorkerSupervisor
from storage.errors import SetupError
from storage.failures import Failure
from storage.kinds import KINDS
from storage.queue import broker
from storage.queue.redis_errors import ERRORS, meaning_of
from storage.queue.worker_registry import unregister_all
from storage.settings.bot import BotSettings

T = TypeVar("T")

LOOK_EVERY_S = 0.5
QUEUE_AWAY_S = 10  # less is what a restart takes, or a change of owner


class Stack:
    """Queue and workers as a context. Inside, `redis_url` leads to the queue; workers come when they are needed.

    One that `stays` takes an embedded queue over from a command that ends, which then need not wait for it.
    """

    def __init__(self, settings: BotSettings, say: Say, stays: bool = False) -> None:
        self.settings, self.say, self.stays = settings, say, stays
        self.redis_url = settings.redis_url
        self._valkey: Valkey | None = None
        self._workers: dict[bool, WorkerSupervisor] = {}  # by whether their kinds of jobs need a GPU
        self._redis: ArqRedis | None = None
        self._heir: asyncio.Task[None] | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._ready = asyncio.Event()

    async def __aenter__(self) -> "Stack":
        """Make sure there is a queue; raises SetupError."""
        if not self.redis_url:
            self._valkey = await Valkey.open(self.settings.home / "queue", self.say)
            self.redis_url = self._valkey.url
        try:
            connect = broker.connect_patiently if self.stays else broker.connect
            self._redis = await connect(self.redis_url, self.settings)
            if self._valkey and self._valkey.owned:  # nobody can have joined a new queue yet
                await unregister_all(self._redis)
            elif self._valkey and self.stays:
                self._heir = asyncio.create_task(self._valkey.inherit())
        except BaseException:
            await self._stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop what we started; after a clean end not before other commands are done with it."""
        try:
            if self._valkey and not error:
                await self._valkey.until_unused(self.say)
        finally:
            await self._stop()

    async def _stop(self) -> None:
        for task in filter(None, (self._keeper, self._heir)):
            task.cancel()
            with suppress(asyncio.CancelledError, SetupError, OSError):
                await task
        for worker in self._workers.values():
            await worker.stop()
        if self._redis:
            await self._redis.aclose()
        if self._valkey:
            await self._valkey.close()

    def need_worker(self, *kinds: str) -> None:
        """Keep a worker alive for these kinds of jobs, and those like them, from now on; for all if none is named."""
        for kind in kinds or KINDS:
            needs_gpu = KINDS[kind].needs_gpu
            if needs_gpu not in self._workers:
                self._workers[needs_gpu] = WorkerSupervisor(self.settings, self.redis_url, self.say, needs_gpu)
                self._ready.clear()
        if not self._keeper:
            self._keeper = asyncio.create_task(self._keep_workers())

    async def worker_ready(self) -> None:
        """Wait until every queue has a living worker; raises SetupError with the reason if it cannot be had."""
        self.need_worker()
        await self.during(self._ready.wait())

    async def during(self, work: Coroutine[Any, Any, T]) -> T:
        """Await `work`; raises SetupError if meanwhile a worker is needed and cannot be had."""
        task = asyncio.create_task(work)
        try:
            while not task.done():
                watched = {task, self._keeper} if self._keeper else {task}
                await asyncio.wait(watched, timeout=LOOK_EVERY_S, return_when=asyncio.FIRST_COMPLETED)
                if self._keeper and self._keeper.done() and not task.done():
                    self._keeper.result()
        except BaseException as error:
            # by being cancelled the work hears of Ctrl-C, or that no worker comes, and may still have a result
            task.cancel()
            await asyncio.wait({task})
            if task.cancelled() or not isinstance(error, asyncio.CancelledError):
                raise
        return task.result()

    async def _keep_workers(self) -> None:
        assert self._redis
        answered_s = time.monotonic()
        while True:
            try:
                for worker in [*self._workers.values()]:
                    await worker.look(self._redis)
                answered_s = time.monotonic()
                if all(worker.ready for worker in self._workers.values()):
                    self._ready.set()
            except ERRORS as error:
                meaning = meaning_of(error)
                # A refusal does not pass; silence may be a restart, which takes seconds.
                if meaning.failure is Failure.PERMANENT or time.monotonic() - answered_s > QUEUE_AWAY_S:
                    raise SetupError(f"The queue cannot be used any more: {meaning.reason}.") from error
            await asyncio.sleep(LOOK_EVERY_S)

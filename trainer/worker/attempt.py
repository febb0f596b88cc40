"""One attempt at a job: its handler works on it, people hear how far it is, and it is stopped if it has ended."""

import asyncio
import contextlib
import logging
from collections.abc import Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from arq.connections import ArqRedis

from storage.contract.jobs import Job
from storage.contract.outcomes import Outcome
from storage.errors import StoreError
from storage.lifecycle.finalize import is_open
from storage.objects.store import Store
from storage.queue.redis_errors import ERRORS
from storage.service_errors import reason_of
from storage.settings.trainer import TrainerSettings
from trainer.worker.cache import Cache
from trainer.worker.engine_client import EngineClient
from trainer.worker.progress import ProgressReporter
from trainer.worker.services import Services

log = logging.getLogger(__name__)

BEAT_S = 0.5
LOOK_S = 5.0  # between two looks into the store without a reason: it may be that Redis was emptied


class AttemptRequeued(Exception):
    """The worker is about to end, or another job killed the engine: this one is to be gone on with."""


class JobEnded(Exception):
    """The job has come to an end elsewhere: somebody cancelled or deleted it, or another worker published it."""


class EngineDied(Exception):
    """The engine ended in the middle of the attempt; says so to the person, and in `detail` to the operator."""

    def __init__(self, message: str, detail: str) -> None:
        super().__init__(message)
        self.detail = detail


@dataclass(frozen=True)
class WorkerContext:
    """What a worker gives to all attempts."""

    settings: TrainerSettings
    store: Store
    redis: ArqRedis
    cache: Cache
    engine: EngineClient  # starts a process when it is asked for something, and never where no kind needs it
    services: Services = field(default_factory=Services)  # of kinds that need no engine


class Attempt:
    """An attempt at `job`; `name` is its own, and `folder` for its files, which are deleted at its end."""

    def __init__(self, job: Job, name: str, folder: Path, context: WorkerContext) -> None:
        self.job, self.name, self.folder = job, name, folder
        self.settings, self.engine, self.cache = context.settings, context.engine, context.cache
        self.store, self.redis, self.services = context.store, context.redis, context.services
        self.reporter = ProgressReporter(context.redis, job.id)
        self._ended = False
        self._look = asyncio.Event()  # there is a reason to look into the store

    async def run(self, work: Coroutine[Any, Any, Outcome]) -> Outcome:
        """Await the `work` that brings the job to its outcome, unless it ends elsewhere: then raises JobEnded."""
        task = asyncio.create_task(work)
        aside = [asyncio.create_task(self._beat()), asyncio.create_task(self._watch(task))]
        try:
            return await task
        except asyncio.CancelledError:
            if self._ended:
                raise JobEnded from None
            raise
        finally:
            for each in aside:
                each.cancel()

    async def _beat(self) -> None:
        """Report twice a second, and hear in the answer whether there is a reason to look into the store."""
        changes = 0
        while True:
            try:
                if (now := await self.reporter.write()) != changes:
                    changes = now
                    self._look.set()
            except ERRORS as error:
                log.warning("progress cannot be published: %s", reason_of(error))
            await asyncio.sleep(BEAT_S)

    async def _watch(self, work: "asyncio.Task[Outcome]") -> None:
        """Look into the store where there is a reason, and now and then; stop the work if the job has ended there."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await self._look.wait()
            self._look.clear()
            with contextlib.suppress(StoreError, OSError):
                if not await is_open(self.store, self.job):
                    self._ended = True
                    work.cancel()
                    return

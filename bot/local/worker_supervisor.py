"""A worker process of ours for some kinds of jobs, started where nobody serves them, and again if it stops."""

import sys

from arq.connections import ArqRedis

from bot.local.children import Child
from bot.local.valkey import Say
from storage.errors import SetupError
from storage.kinds import KINDS
from storage.queue.worker_registry import living_workers
from storage.settings.bot import BotSettings
from storage.settings.shared import load_settings
from storage.settings.trainer import TrainerSettings


class WorkerSupervisor:
    """The one for the kinds that need a GPU, or the one for those that need none."""

    def __init__(self, settings: BotSettings, redis_url: str, say: Say, needs_gpu: bool) -> None:
        self.settings, self.redis_url, self.say = settings, redis_url, say
        self._needs_gpu = needs_gpu
        self.kinds = [kind.name for kind in KINDS.values() if kind.needs_gpu == needs_gpu]
        self.log = settings.home / ("worker.log" if needs_gpu else "worker-without-gpu.log")
        self.ready = False  # whether every kind has a living worker, ours or another
        self._process: Child | None = None

    async def look(self, redis: ArqRedis) -> None:
        """Start it where that is needed now; raises SetupError if it has stopped before it was ready."""
        missing = [kind for kind in self.kinds if not await living_workers(redis, kind)]
        if not missing:
            self.ready = True
        elif not (self._process and self._process.alive):
            self._start(missing)

    async def stop(self) -> None:
        """End it."""
        if self._process:
            await self._process.stop()

    def _start(self, queues: list[str]) -> None:
        if self._process and not self.ready:
            why = self._process.last_log_line().rstrip(".") or "it says nothing"
            raise SetupError(f"No worker could be started: {why}. See {self._process.log}, or run `darkroom doctor`.")
        if self._process:
            self.say(f"The worker stopped: {self._process.last_log_line()}")
        load_settings(TrainerSettings)  # what is wrong there is better said here than in the worker's log
        if self._needs_gpu:  # the other one comes at once
            self.say("Starting a worker.")
        self.ready = False
        command = [sys.executable, "-m", "trainer", "--queues", ",".join(queues)]
        self._process = Child(command, self.log, {"REDIS_URL": self.redis_url})

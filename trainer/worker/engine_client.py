"""Client of the engine's process: starts it, sends tasks, receives reports; restarts it after a crash."""

import asyncio
import logging
import sys
from collections.abc import AsyncGenerator

from trainer.protocol import Cancel, EngineLoad, Hello, Pause, Task, TaskResult, Watch
from trainer.worker.engine_handle import STUCK, EngineHandle, News
from trainer.worker.watchdog import SilenceLimits

log = logging.getLogger(__name__)

STOPS_WITHIN_S = 5  # an engine that looks up between two steps is much quicker


class EngineClient:
    """One engine process at a time; several tasks may be under way at once."""

    def __init__(
        self,
        base_model: str,
        gpus: int = 1,
        limits: SilenceLimits | None = None,
        module: tuple[str, ...] = ("trainer.engine.process",),
    ) -> None:
        """`gpus` is how many a training takes, each with a process of its own; `module` is what each of them runs."""
        self.base_model, self.limits = base_model, limits or SilenceLimits()
        launch = () if gpus == 1 else ("torch.distributed.run", "--standalone", f"--nproc-per-node={gpus}", "-m")
        # -P: PyTorch's launcher is not to import what is called like a module of Python's in the current folder.
        safe = () if gpus == 1 else ("-P",)
        self._command = (sys.executable, *safe, "-m", *launch, *module, base_model)
        self._engine: EngineHandle | None = None
        self._starting = asyncio.Lock()

    @property
    def hello(self) -> Hello | None:
        """What the engine that runs has said of itself; None if none does."""
        return self._engine.hello if self._engine and self._engine.lives else None

    async def start(self) -> Hello:
        """Make sure an engine runs; raises SetupError with its last words if it cannot start."""
        engine = await self._running()
        assert engine.hello
        return engine.hello

    @property
    def load(self) -> EngineLoad:
        """How much the engine did lately; nothing if there is none."""
        return self._engine.load if self._engine and self._engine.lives else EngineLoad()

    @property
    def trainings_at_once(self) -> int:
        """How many LoRA trainings may share the engine's steps, as it knows best; one while there is no engine."""
        return self.load.trainings_at_once or (self.hello.trainings_at_once if self.hello else 1)

    async def _running(self) -> EngineHandle:
        async with self._starting:
            if self._engine and self._engine.lives:
                return self._engine
            if self._engine:  # it is about to tell everybody of its end
                await self._engine.ended()
            self._engine = None
            self._engine = await EngineHandle.start(self._command, self.limits)
            return self._engine

    async def run(self, task: Task) -> AsyncGenerator[News, None]:
        """Yield what the engine says of a task; the result ends it.

        If the engine dies or is silent for too long, that is "died" for the task it was working on, and "paused" for
        one that it did besides. Whoever leaves before the result has the engine stop: close this with `aclosing`.
        """
        engine = await self._running()
        news, message = engine.open(task), None
        try:
            await engine.write(task)
            while not isinstance(message, TaskResult):
                message = await news.get()
                yield message
        finally:
            if not isinstance(message, TaskResult):
                await self._leave(engine, task.job, news)
            engine.close(task.job)

    async def _leave(self, engine: EngineHandle, job: str, news: "asyncio.Queue[News]") -> None:
        """Wait until the engine has stopped a task that nobody wants any longer; if it does not listen, end it."""
        await engine.write(Cancel(job=job))
        try:
            async with asyncio.timeout(STOPS_WITHIN_S):
                while not isinstance(await news.get(), TaskResult):
                    pass
        except TimeoutError:
            log.warning("the engine does not stop job %s and is killed", job)
            await engine.kill(STUCK)

    async def cancel(self, job: str) -> bool:
        """Ask the engine to stop a task at its next step; tell whether it has that task."""
        if not (self._engine and self._engine.has(job)):
            return False
        await self._engine.write(Cancel(job=job))
        return True

    async def watch(self, job: str, on: bool) -> bool:
        """Tell the engine whether somebody looks at a drawing; tell whether it has that task."""
        if not (self._engine and self._engine.has(job)):
            return False
        await self._engine.write(Watch(job=job, on=on))
        return True

    async def pause(self) -> None:
        """Ask the engine to write down where trainings are and to stop them, for as long as it lives."""
        if self._engine:
            await self._engine.write(Pause())

    async def stop(self) -> None:
        """End the engine."""
        if self._engine:
            await self._engine.kill(STUCK)
            await self._engine.ended()

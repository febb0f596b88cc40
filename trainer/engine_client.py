"""The worker's end of the seam: starts the engine, hands it tasks, hears of them; starts it anew if it died."""

import asyncio
import ctypes
import logging
import os
import signal
import sys
from collections.abc import AsyncGenerator

from pydantic import BaseModel

from storage.errors import SetupError
from trainer.seam import Cancel, Hello, Pause, Refusal, Report, Result, Task, read_news

log = logging.getLogger(__name__)

DIED = "The engine that was working on this stopped unexpectedly."
KILLED = "The engine that was working on this was killed, most likely because the machine ran out of memory."
START_TIMEOUT_S = 4 * 3600  # the first time, the base model is downloaded
STOPS_WITHIN_S = 5  # an engine that looks up between two steps is much quicker
LINE_LIMIT_BYTES = 16 * 2**20
PR_SET_PDEATHSIG = 1
KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(2**28), "MALLOC_TRIM_THRESHOLD_": str(2**30)}  # glibc's, for the CPU:
# a step wants the same tensors as the one before, and to map them anew costs a twentieth of its time


def die_with_parent() -> None:
    """Ask the kernel to kill this process when its parent dies; called in the child before it becomes the engine."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class EngineClient:
    """One engine process; several tasks may be under way at once."""

    def __init__(self, base_model: str, gpus: int = 1) -> None:
        """`gpus` is how many a training takes, each with a process of its own."""
        self.base_model = base_model
        launch = () if gpus == 1 else ("torch.distributed.run", "--standalone", f"--nproc-per-node={gpus}", "-m")
        self._command = (sys.executable, "-m", *launch, "trainer.engine_process", base_model)
        self.hello: Hello | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._news: dict[str, asyncio.Queue[Report | Result]] = {}
        self._starting = asyncio.Lock()
        self._reader: asyncio.Task[None] | None = None

    async def start(self) -> Hello:
        """Make sure an engine runs; raises SetupError with its last words if it cannot start."""
        async with self._starting:
            if self.hello and self._process and self._process.returncode is None:
                return self.hello
            if self._reader:  # it is about to tell everybody of the end of the engine before
                await self._reader
            self.hello = None
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                preexec_fn=die_with_parent,
                env={**KEEP_MEMORY, **os.environ},
                limit=LINE_LIMIT_BYTES,
            )
            try:
                self.hello = await self._hear_hello(self._process)
            except BaseException:  # whoever waited may have left: nobody would hear what this engine says
                await self._kill()
                raise
            self._reader = asyncio.create_task(self._read(self._process))
            return self.hello

    @staticmethod
    async def _hear_hello(process: asyncio.subprocess.Process) -> Hello:
        assert process.stdout
        line = await asyncio.wait_for(process.stdout.readline(), START_TIMEOUT_S)
        if not line:
            raise SetupError(f"The engine did not start (exit {await process.wait()}); its last words are above.")
        hello = read_news(line)
        if isinstance(hello, Refusal):
            raise SetupError(hello.message)
        assert isinstance(hello, Hello)
        return hello

    async def run(self, task: Task) -> AsyncGenerator[Report | Result, None]:
        """Yield what the engine says of a task; the result ends it.

        If the engine dies, that is "died" for the task it was working on, and "paused" for one that it did besides.
        Whoever leaves before the result has the engine stop: close this with `aclosing`.
        """
        await self.start()
        news = self._news[task.job] = asyncio.Queue()
        said: Report | Result | None = None
        try:
            await self._write(task)
            while not isinstance(said, Result):
                said = await news.get()
                yield said
        finally:
            if not isinstance(said, Result):
                await self._leave(task.job, news)
            del self._news[task.job]

    async def _leave(self, job: str, news: "asyncio.Queue[Report | Result]") -> None:
        """Wait until the engine has stopped a task that nobody wants any longer; if it does not listen, end it."""
        await self.cancel(job)
        try:
            async with asyncio.timeout(STOPS_WITHIN_S):
                while not isinstance(await news.get(), Result):
                    pass
        except TimeoutError:
            log.warning("the engine does not stop job %s and is killed", job)
            await self._kill()

    async def cancel(self, job: str) -> bool:
        """Ask the engine to stop a task at its next step; tell whether it has that task."""
        if job in self._news:
            await self._write(Cancel(job=job))
        return job in self._news

    async def pause(self) -> None:
        """Ask the engine to write down where trainings are and to stop them, for as long as it lives."""
        if self.hello:
            await self._write(Pause())

    async def stop(self) -> None:
        """End the engine."""
        if self._reader:
            self._reader.cancel()
        await self._kill()

    async def _kill(self) -> None:
        if self._process and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    async def _write(self, message: BaseModel) -> None:
        assert self._process and self._process.stdin
        try:
            self._process.stdin.write(message.model_dump_json().encode() + b"\n")
            await self._process.stdin.drain()
        except ConnectionError:  # it just died; the reader tells everybody
            log.warning("the engine is gone")

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout
        at_work = ""
        async for line in process.stdout:
            news = read_news(line)
            if isinstance(news, Report | Result) and news.job in self._news:
                self._news[news.job].put_nowait(news)
                at_work = news.job if isinstance(news, Report) else ""
        status = await process.wait()
        message, detail = KILLED if status == -signal.SIGKILL else DIED, f"the engine ended with {status}"
        log.warning(detail)
        for job, queue in self._news.items():
            besides = at_work in self._news and job != at_work
            queue.put_nowait(Result(job=job, state="paused" if besides else "died", message=message, detail=detail))

"""Handle of one engine process: reads its messages, watches it, and ends all its tasks with a result."""

import asyncio
import logging
import os
import signal
from collections.abc import Sequence
from contextlib import suppress
from functools import partial

import psutil
from pydantic import BaseModel, ValidationError

from storage.errors import SetupError
from storage.parent_death import die_with_parent
from trainer.invalid_lines import InvalidLineLog
from trainer.protocol import (
    EngineLoad,
    FromEngine,
    Heartbeat,
    Hello,
    ProgressReport,
    Refusal,
    Task,
    TaskResult,
    failure_of,
    read_news,
)
from trainer.worker.watchdog import SilenceLimits, Watchdog

log = logging.getLogger(__name__)

DIED = "The engine that was working on this stopped unexpectedly."
KILLED = (
    "The engine that was working on this was killed from outside (signal 9). If the machine's log names the "
    "out-of-memory killer at that time, there was too little memory for this."
)
STUCK = "The engine that was working on this stopped answering and was ended."
START_TIMEOUT_S = 4 * 3600  # the first time, the base model is downloaded
ENDS_WITHIN_S = 5.0  # a process that has closed its output, or was killed
TICK_S = 0.5
LINE_LIMIT_BYTES = 16 * 2**20
KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(2**28), "MALLOC_TRIM_THRESHOLD_": str(2**30)}  # glibc's, for the CPU:
# a step wants the same tensors as the one before, and to map them anew costs a twentieth of its time

News = ProgressReport | TaskResult


def _kill_with_children(pid: int) -> None:
    """Kill a process and its descendants: torchrun's engines would outlive it, and keep their GPUs' memory."""
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        for each in (*process.children(recursive=True), process):
            with suppress(psutil.NoSuchProcess):
                each.kill()


async def next_message(stream: asyncio.StreamReader, skipped: InvalidLineLog) -> FromEngine | None:
    """The next message in a stream, None at its end. Lines that are no message, or too long, are skipped."""
    while True:
        try:
            line = await stream.readline()
            if not line:
                return None
            return read_news(line)
        except ValidationError:
            skipped.note("which is no message", line)
            # A result that cannot be read ends its job, or that would wait for ever.
            if failed := failure_of(line, result=True):
                return failed
        except ValueError:  # asyncio's, which has thrown away what it had read of the line
            skipped.note(f"which has more than {LINE_LIMIT_BYTES} bytes")


class EngineHandle:
    """An engine that has started. Make it by `start`."""

    def __init__(self, process: asyncio.subprocess.Process, limits: SilenceLimits) -> None:
        self.process, self.watchdog = process, Watchdog(limits)
        self.hello: Hello | None = None
        self.load = EngineLoad()  # as it was told last
        self._skipped = InvalidLineLog("the engine")
        self._news: dict[str, asyncio.Queue[News]] = {}
        self._under_way: list[str] = []  # jobs that it has spoken of, the last one last
        self._why = ""  # it was killed, if we did that
        self._tasks: list[asyncio.Task[None]] = []

    @classmethod
    async def start(cls, command: Sequence[str], limits: SilenceLimits) -> "EngineHandle":
        """Start an engine and wait until it is ready; raises SetupError with its last words if it cannot start."""
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            preexec_fn=partial(die_with_parent, os.getpid()),
            env={**KEEP_MEMORY, **os.environ},
            limit=LINE_LIMIT_BYTES,
        )
        handle = cls(process, limits)
        try:
            handle.hello = await handle._hear_hello(limits.starting_s)
        except BaseException:  # whoever waited may have left: nobody would hear what this engine says
            await handle.kill("")
            raise
        handle._tasks = [asyncio.create_task(handle._read()), asyncio.create_task(handle._watch())]
        return handle

    @property
    def lives(self) -> bool:
        """Whether tasks may be given to it."""
        return self.process.returncode is None and not self._tasks[0].done()

    def open(self, task: Task) -> "asyncio.Queue[News]":
        """Open the queue of messages about a task; the last one is always a result."""
        self.watchdog.begin(task)
        queue = self._news[task.job] = asyncio.Queue()
        return queue

    def close(self, job: str) -> None:
        """Close the queue of messages about a task."""
        self.watchdog.end(job)
        del self._news[job]

    def has(self, job: str) -> bool:
        """Whether a job was given to it and has no result yet."""
        return job in self._news

    async def write(self, message: BaseModel) -> None:
        """Send the engine a message; if it has just died, the reader ends all tasks."""
        assert self.process.stdin
        try:
            self.process.stdin.write(message.model_dump_json().encode() + b"\n")
            await self.process.stdin.drain()
        except ConnectionError:
            log.warning("the engine is gone")

    async def kill(self, why: str) -> None:
        """End the process and those that it has started, and say `why` to whoever waits for it.

        One that is stuck in the kernel is left behind.
        """
        self._why = self._why or why
        if self.process.returncode is None:
            _kill_with_children(self.process.pid)
            try:
                await asyncio.wait_for(self.process.wait(), ENDS_WITHIN_S)
            except TimeoutError:
                log.error("the engine, process %d, cannot be killed", self.process.pid)

    async def ended(self) -> None:
        """Wait until the process has ended, and all that was under way has its result."""
        reader, watcher = self._tasks
        await asyncio.gather(reader, return_exceptions=True)  # the watcher sees to it that it ends
        watcher.cancel()

    async def _hear_hello(self, silence_s: float) -> Hello:
        assert self.process.stdout
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                while not isinstance(message := await self._next_within(silence_s), Hello):
                    if message is None:
                        code = await asyncio.wait_for(self.process.wait(), ENDS_WITHIN_S)
                        raise SetupError(f"The engine did not start (exit {code}); its last words are above.")
                    if isinstance(message, Refusal):
                        raise SetupError(message.message)
        except TimeoutError:
            raise SetupError("The engine did not answer any more while it started, and was ended.") from None
        return message

    async def _next_within(self, silence_s: float) -> FromEngine | None:
        assert self.process.stdout
        return await asyncio.wait_for(next_message(self.process.stdout, self._skipped), silence_s)

    async def _read(self) -> None:
        """Hand on what the engine says, until it ends; then all that is under way has ended, whatever happened."""
        assert self.process.stdout
        try:
            while (message := await next_message(self.process.stdout, self._skipped)) is not None:
                if isinstance(message, ProgressReport | TaskResult | Heartbeat):
                    self._on_message(message)
                elif isinstance(message, EngineLoad):
                    self.load = message
        except Exception:
            log.exception("reading what the engine says failed")
        finally:
            await self._end()

    def _on_message(self, news: ProgressReport | TaskResult | Heartbeat) -> None:
        self.watchdog.on_message(news)
        if news.job not in self._news:
            return
        self._under_way = [job for job in self._under_way if job != news.job]
        if not isinstance(news, TaskResult):
            self._under_way.append(news.job)
        if not isinstance(news, Heartbeat):
            self._news[news.job].put_nowait(news)

    async def _watch(self) -> None:
        """Kill an engine that is silent for too long. Time in which this process was stopped itself does not count."""
        clock, (reader, _) = asyncio.get_running_loop().time, self._tasks
        while self.process.returncode is None:
            before_s = clock()
            await asyncio.sleep(TICK_S)
            # Capped: while this process was stopped, the engine may have written all the time.
            if self.watchdog.tick(min(clock() - before_s, 2 * TICK_S)):
                log.error("the engine was silent for %.0f s (%s)", self.watchdog.silent_s, self.watchdog.doing)
                await self.kill(STUCK)
                break
        await asyncio.wait([reader], timeout=ENDS_WITHIN_S)
        reader.cancel()  # the pipe is still open: the process cannot be killed, or has left others behind

    async def _end(self) -> None:
        """Ensure that the process has ended, and end all tasks with a failure."""
        try:
            await asyncio.wait_for(self.process.wait(), ENDS_WITHIN_S)
        except TimeoutError:
            await self.kill(STUCK)
        status = self.process.returncode
        message = self._why or (KILLED if status == -signal.SIGKILL else DIED)
        detail = f"the engine ended with {status}"
        log.warning(detail)
        # Only the job that was being worked on counts as crashed; one that waited beside it is handed back.
        at_work = self._under_way[-1] if self._under_way else ""
        for job, queue in self._news.items():
            state = "paused" if at_work in self._news and job != at_work else "died"
            queue.put_nowait(TaskResult(job=job, state=state, message=message, detail=detail))

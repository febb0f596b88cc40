"""The processes that read strangers' files, seen from the worker: a few, kept warm, killed when they do not answer."""

import asyncio
import json
import logging
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from contextlib import suppress
from pathlib import Path

from storage.child_processes import reap
from trainer.ask.pages.extract import Extracted

log = logging.getLogger(__name__)

ROOT = Path(__file__).parents[3]
PROCESSES = 2
START_TIMEOUT_S = 120.0
MEMORY_BYTES = 1536 * 2**20  # of address space
ANSWER_MAX_BYTES = 8 * 2**20
ENVIRONMENT = {"LANG": "C.UTF-8", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2"}
INHERITED = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")  # without which some installations of Python do not start
TOO_SLOW = Extracted(trouble="takes too long to read", may_pass=True)
CRASHED = Extracted(trouble="cannot be read", may_pass=True)


class ExtractorPool:
    """Extracts texts in processes of their own; they start when they are needed first. `close` it."""

    def __init__(self, timeout_s: float = 20.0, processes: int = PROCESSES) -> None:
        self._timeout_s = timeout_s
        self._free = asyncio.Semaphore(processes)
        self._idle: list[Process] = []
        self._all: set[Process] = set()

    async def extract(self, data: bytes, media_type: str, charset: str = "", url: str = "") -> Extracted:
        """The text of a file; one that cannot be read, or takes too long, says so in `trouble`."""
        header = {"bytes": len(data), "media_type": media_type, "charset": charset, "url": url}
        async with self._free:
            try:
                process = await self._ready()
            except OSError as error:  # a TimeoutError is one
                log.error("no process that reads pages can be started: %s", error)
                return CRASHED
            answered = False
            try:
                async with asyncio.timeout(self._timeout_s):
                    answer = await _asked(process, json.dumps(header).encode() + b"\n" + data)
                answered = True
                return answer
            except TimeoutError:
                return TOO_SLOW
            except (OSError, ValueError, TypeError, KeyError, AttributeError):
                return CRASHED
            finally:
                if answered:
                    self._idle.append(process)
                else:
                    self._kill(process)

    async def warm(self) -> None:
        """Have a process ready, since its libraries take a second to load."""
        if not self._all:
            self._idle.append(await self._start())

    async def close(self) -> None:
        """End all processes at once; wait for those as well that were killed before."""
        for process in self._all:
            self._kill(process)
        await asyncio.gather(*map(reap, self._all))
        self._all.clear()

    async def _ready(self) -> Process:
        while self._idle:
            process = self._idle.pop()
            if process.returncode is None:
                return process
        return await self._start()

    async def _start(self) -> Process:
        environment = ENVIRONMENT | {name: os.environ[name] for name in INHERITED if name in os.environ}
        environment["PYTHONPATH"] = os.pathsep.join(path for path in (str(ROOT), *sys.path) if path)
        command = (sys.executable, "-P", "-m", "trainer.ask.pages.extractor_process", str(MEMORY_BYTES))
        process = await asyncio.create_subprocess_exec(
            *command, stdin=PIPE, stdout=PIPE, stderr=DEVNULL, env=environment, start_new_session=True,
            limit=ANSWER_MAX_BYTES,
        )  # fmt: skip
        self._all = {each for each in self._all if each.returncode is None} | {process}
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                await _line(process)  # its libraries are loaded
        except BaseException:
            self._kill(process)
            raise
        return process

    def _kill(self, process: Process) -> None:
        """End a process; `close` waits until it is gone."""
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()


async def _asked(process: Process, request: bytes) -> Extracted:
    assert process.stdin
    process.stdin.write(request)
    await process.stdin.drain()
    fields = json.loads(await _line(process))
    may_pass = bool(fields.pop("may_pass"))
    texts = {name: str(value).encode(errors="replace").decode() for name, value in fields.items()}  # no lone surrogates
    return Extracted(**texts, may_pass=may_pass)


async def _line(process: Process) -> bytes:
    assert process.stdout
    line = await process.stdout.readline()
    if not line.endswith(b"\n"):
        raise OSError("the process has ended")
    return line

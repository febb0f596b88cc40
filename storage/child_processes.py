"""Child processes that read strangers' files: without settings and keys, killed if they do not answer."""

import asyncio
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

ROOT = Path(__file__).parents[1]
# All that a process gets to know. It is made from nothing: no token and no key of the store is in it.
ENVIRONMENT = {"LANG": "C.UTF-8", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2"}
INHERITED = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")  # without which some installations of Python do not start
LINE_MAX_BYTES = 8 * 2**20


async def start_module(module: str, *arguments: str, stderr: int | None = None) -> Process:
    """Start a module of ours with pipes, in a session of its own: Ctrl-C reaches only us. Raises OSError."""
    environment = ENVIRONMENT | {name: os.environ[name] for name in INHERITED if name in os.environ}
    environment["PYTHONPATH"] = os.pathsep.join(path for path in (str(ROOT), *sys.path) if path)
    environment["PYTHONDONTWRITEBYTECODE"] = "1"
    command = (sys.executable, "-P", "-m", module, *arguments)
    return await asyncio.create_subprocess_exec(
        *command, stdin=PIPE, stdout=PIPE, stderr=stderr, env=environment, start_new_session=True, limit=LINE_MAX_BYTES
    )


async def kill_and_reap(process: Process) -> None:
    """Kill a process with its children; wait until it is gone, and its pipes are closed."""
    assert process.stdin and process.stdout
    _kill(process)
    process.stdin.close()
    with suppress(OSError, RuntimeError):  # who reads its answer still comes to the end as well
        await process.stdout.read()
    await process.wait()


def _kill(process: Process) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, 9)  # a child may outlive the process, and hold its pipes


class ProcessPool:
    """Processes that answer requests one after another, kept warm. They start when they are needed first."""

    def __init__(self, module: str, *arguments: str, stderr: int | None = None) -> None:
        self._command, self._stderr = (module, *arguments), stderr
        self._idle: list[Process] = []
        self._all: set[Process] = set()

    async def close(self) -> None:
        """End all processes at once; wait for those as well that were killed before."""
        self._idle.clear()
        for process in self._all:
            _kill(process)
        await asyncio.gather(*map(kill_and_reap, self._all))
        self._all.clear()

    async def take(self) -> Process:
        """A process that waits for a request, to be used within `lent`; raises OSError if none can be started."""
        while self._idle:
            process = self._idle.pop()
            if process.returncode is None:
                return process
        return await self._start()

    @contextmanager
    def lent(self, process: Process) -> Iterator[None]:
        """Keep the process for the next request if the block ends well; kill it otherwise."""
        try:
            yield
        except BaseException:
            _kill(process)
            raise
        self._idle.append(process)

    async def until_ready(self, process: Process) -> None:
        """Wait until a process that was just started can answer; raises OSError."""

    async def _start(self) -> Process:
        process = await start_module(*self._command, stderr=self._stderr)
        self._all = {each for each in self._all if each.returncode is None} | {process}
        try:
            await self.until_ready(process)
        except BaseException:
            _kill(process)
            raise
        return process

"""Child processes that never outlive us: started here, stopped here, and taken along if we crash."""

import asyncio
import os
import signal
import subprocess
from collections.abc import Coroutine
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from storage.parent_death import die_with_parent

T = TypeVar("T")


class Child:
    """A process of ours, in a session of its own so that Ctrl-C reaches only us.

    Its output goes to the file `log`, or where ours goes if there is none.
    """

    def __init__(self, command: list[str], log: Path | None = None, environment: dict[str, str] | None = None) -> None:
        """Start it; raises OSError if it cannot be started."""
        self.log, self._log_start = log, 0
        with ExitStack() as closing:
            output = None
            if log:
                log.parent.mkdir(parents=True, exist_ok=True)
                output = closing.enter_context(log.open("ab"))
                self._log_start = output.tell()
            self._process = subprocess.Popen(  # noqa: S603 (our own commands, and no shell)
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, **(environment or {})},
                # Ctrl-C reaches a terminal's whole process group, and only the command is to act on it.
                start_new_session=True,
                preexec_fn=partial(die_with_parent, os.getpid(), signal.SIGTERM),
            )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self._process.poll() is None

    async def stop(self, grace_s: float = 20) -> None:
        """Ask it to end; after `grace_s` end it and its own children."""
        if not self.alive:
            return
        # SIGTERM first: a worker hands its jobs back, and a queue writes its file.
        self._process.terminate()
        try:
            await asyncio.wait_for(self.ended(), grace_s)
        except TimeoutError:
            with suppress(ProcessLookupError):
                # It leads a session of its own, so this reaches the engines that it has started, too.
                os.killpg(self.pid, signal.SIGKILL)
            await self.ended()

    async def ended(self) -> int:
        """Wait for its end; return its exit status."""
        while True:
            if not self.alive:
                return self._process.returncode
            await asyncio.sleep(0.05)

    def last_log_line(self) -> str:
        """The last line that it logged, which after a failed start says why; "" if there is none."""
        return last_log_line(self.log, self._log_start) if self.log else ""


def last_log_line(log: Path, start: int = 0) -> str:
    """The last line of a log, from a place on: before it the file may hold the words of earlier processes."""
    with log.open("rb") as file:
        file.seek(start)
        lines = file.read().decode(errors="replace").splitlines()
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


async def until_stopped(work: Coroutine[Any, Any, T]) -> T:
    """Await `work` in a process that SIGTERM and a closed terminal end the way that Ctrl-C does: by cancelling it."""
    task = asyncio.current_task()
    assert task
    for number in (signal.SIGTERM, signal.SIGHUP):  # Ctrl-C is seen to by asyncio itself
        if signal.getsignal(number) is signal.SIG_DFL:  # nohup has a signal ignored
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    return await work

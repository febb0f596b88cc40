"""Child processes that never outlive us: started here, stopped here, and taken along if we crash."""

import asyncio
import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Coroutine
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

_PR_SET_PDEATHSIG = 1  # of prctl(2), which only Linux has
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


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
                start_new_session=True,
                preexec_fn=_die_with(os.getpid()),
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
        self._process.terminate()
        try:
            await asyncio.wait_for(self.ended(), grace_s)
        except TimeoutError:
            with suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
            await self.ended()

    async def ended(self) -> int:
        """Wait for its end; return its exit status."""
        while True:
            if not self.alive:
                return self._process.returncode
            await asyncio.sleep(0.05)

    def last_words(self) -> str:
        """The last line that it logged, which after a failed start says why; "" if there is none."""
        if not self.log:
            return ""
        with self.log.open("rb") as log:
            log.seek(self._log_start)
            lines = log.read().decode(errors="replace").splitlines()
        return next((line.strip() for line in reversed(lines) if line.strip()), "")


def _die_with(parent: int) -> Callable[[], None] | None:
    """What makes a child end when `parent` does, however that happens; None where the system cannot."""
    if _LIBC is None:
        return None
    libc = _LIBC

    def in_child() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it ended before we could ask
            os._exit(1)

    return in_child


async def until_stopped(work: Coroutine[Any, Any, T]) -> T:
    """Await `work` in a process that SIGTERM and a closed terminal end the way that Ctrl-C does: by cancelling it."""
    task = asyncio.current_task()
    assert task
    for number in (signal.SIGTERM, signal.SIGHUP):  # Ctrl-C is seen to by asyncio itself
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    return await work

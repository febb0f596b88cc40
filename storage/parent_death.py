"""Processes that end with their parent, however that ends: prctl(2) with PR_SET_PDEATHSIG, which only Linux has."""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None  # before a fork: a child must not wait for a lock


def die_with_parent(parent_pid: int | None = None, by: signal.Signals = signal.SIGKILL) -> None:
    """Have the kernel end this process when its parent ends. Called in the child.

    If `parent_pid` is given and is not the parent any more, the process ends at once, on every system.
    """
    if _LIBC:
        _LIBC.prctl(PR_SET_PDEATHSIG, by)
    if parent_pid is not None and os.getppid() != parent_pid:  # it ended before we could ask
        os._exit(1)

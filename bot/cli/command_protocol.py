"""What a `darkroom` command and the command server of a running `darkroom up` say to each other, on a Unix socket.

1. The command sends a `Call`, a line of JSON. The server forks, and the fork answers ACCEPTED with its process id, or
   hangs up and has done nothing.
2. The command sends START with its standard streams. Only now it begins, so that no command ever runs twice.
3. The command sends a byte for each signal that it receives; the fork, at the end, one with the exit status.

Imports only the standard library, and little of that: every command waits for it.
"""

import os
import socket
import stat
import struct
import sys
from typing import Any, NamedTuple

from storage import __version__

ACCEPTED, START = b"+", b"!"

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PACKAGES = ("bot", "storage")
NAMESPACES = ("mnt", "net", "pid", "user")
PRELOADED = ("LD_PRELOAD", "DYLD_INSERT_LIBRARIES")  # a proxy, for example, that a fork would go around


class Call(NamedTuple):
    """A command and all that it takes over from who called it; arguments and paths may contain surrogate escapes."""

    surroundings: list[Any]
    arguments: list[str]
    folder: str
    umask: int
    environment: dict[str, str]
    streams: list[list[str]]  # encoding and error handler of input, output and error output


def socket_path(home: str) -> str:
    """Where the command server of a DARKROOM_HOME listens, in a folder that is its owner's alone."""
    return os.path.join(home, "commands", "socket")


def is_private(folder: str) -> bool:
    """Whether a folder belongs to this account, and nobody else may enter it; raises OSError where there is none."""
    found = os.lstat(folder)
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o077


def is_same_account(connection: socket.socket) -> bool:
    """Whether the other end is of this account. Only Linux can tell; elsewhere the folder's mode has to do."""
    if sys.platform != "linux":
        return True
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return bool(struct.unpack("3i", credentials)[1] == os.geteuid())


def surroundings() -> list[Any]:
    """All in which two processes must agree for one to run the other's commands: code, Python, account, namespaces."""
    account = [os.geteuid(), os.getegid(), *sorted(os.getgroups())]
    preloaded = [os.environ.get(name, "") for name in PRELOADED]
    python = [sys.version, sys.prefix, sys.getfilesystemencoding()]
    return [__version__, ROOT, _modification_times_ns(), python, account, preloaded, _namespaces()]


def _modification_times_ns() -> int:
    """A checksum of when each source file was modified: a new version in the same place has another."""
    walks = (walk for package in PACKAGES for walk in os.walk(os.path.join(ROOT, package)))
    sources = (os.path.join(folder, name) for folder, _, names in walks for name in names if name.endswith(".py"))
    return sum(os.stat(source).st_mtime_ns for source in sources)


def _namespaces() -> list[str]:
    """What tells a container from its host, where paths, addresses and process ids differ; empty if there are none."""
    try:
        return [os.readlink(f"/proc/self/ns/{name}") for name in NAMESPACES]
    except OSError:
        return []

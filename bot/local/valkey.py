"""The embedded queue: a Valkey of our own under DARKROOM_HOME, shared by every `darkroom` process on that folder.

Whoever comes first owns it, and it ends with its owner. Two locks, which the system frees even after a crash,
keep the peace: `owner.lock` is held by the owner, `users.lock` is shared by those it has to wait for.
"""

import asyncio
import fcntl
import logging
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

from bot.local.children import Child
from bot.local.valkey_server import address, answers, end_orphan, new_url, remove_socket, start_server
from storage.errors import SetupError

log = logging.getLogger(__name__)

Say = Callable[[str], None]

DATA, ASIDE = "appendonlydir", "appendonlydir.damaged"  # where a server keeps what it knows
START_S = 20  # an append-only file of a long queue takes a while to read


class Valkey:
    """A running Valkey: our own, or one that another process of ours on the same folder runs."""

    def __init__(self, folder: Path, url: str, lock: IO[str], say: Say = log.warning) -> None:
        self.url, self.say = url, say
        self._folder, self._locks = folder, [lock]
        self._child: Child | None = None

    @classmethod
    async def open(cls, folder: Path, say: Say = log.warning) -> "Valkey":
        """Join the one that runs on `folder`, else start one; raises SetupError if that fails.

        `say` hears of files that could not be read and were set aside.
        """
        deadline_s = time.monotonic() + START_S
        # Owner and users are told apart by locks, not by a file with a pid, which outlives its process.
        try:
            folder.mkdir(parents=True, exist_ok=True)
            while time.monotonic() < deadline_s:
                if owner := _lock(folder / "owner.lock", fcntl.LOCK_EX):
                    # Where the kernel does not end children, the Valkey of an owner that crashed still runs.
                    await end_orphan(folder)
                    return await cls(folder, new_url(folder), owner, say)._run()
                user = _lock(folder / "users.lock", fcntl.LOCK_SH)
                if user and (url := address(folder)) and answers(url):
                    return cls(folder, url, user)
                if user:
                    user.close()
                await asyncio.sleep(0.1)
        except OSError as error:
            raise SetupError(f"The queue cannot live in {folder}: {error.strerror or error}.") from error
        raise SetupError(f"Another process holds the queue in {folder}, but its Valkey does not answer.")

    async def _run(self) -> "Valkey":
        try:
            if not await self._started():
                await self._start_empty()
            # Written last: who reads the address finds a server that answers.
            (self._folder / "address").write_text(self.url)
        except BaseException:
            await self.close()
            raise
        return self

    async def _started(self) -> bool:
        """Start a server and wait until it answers; tell whether it does, or has ended. Raises SetupError in time."""
        self._child = start_server(self._folder, self.url)
        deadline_s = time.monotonic() + START_S
        while not answers(self.url):
            if not self._child.alive:
                return False
            if time.monotonic() > deadline_s:
                raise SetupError(self._failed(self._child))
            await asyncio.sleep(0.02)
        return True

    async def _start_empty(self) -> None:
        """Set the data aside with which no server started, and start without; raises SetupError if that fails, too.

        Nothing is lost: the reconciler queues accepted jobs again, which are in the store.
        """
        assert self._child
        why, data, aside = self._failed(self._child), self._folder / DATA, self._folder / ASIDE
        if not data.exists():
            raise SetupError(why)
        shutil.rmtree(aside, ignore_errors=True)
        data.rename(aside)
        # If it does not start without its files either, they were not the cause and are put back.
        if not await self._started():
            shutil.rmtree(data, ignore_errors=True)
            aside.rename(data)
            raise SetupError(why)
        self.say(
            f"The queue could not be read and starts empty; its files are kept in {aside}. "
            "Nothing is lost: accepted jobs are in the store, and are queued again within a minute."
        )

    def _failed(self, child: Child) -> str:
        return (
            f"The embedded Valkey did not start: {child.last_log_line() or 'it says nothing'}. "
            f"If the files in {self._folder} are damaged, delete that folder: accepted jobs are in the store."
        )

    @property
    def owned(self) -> bool:
        """Whether it is ours, and so ends with us."""
        return self._child is not None

    async def inherit(self) -> None:
        """Take over another command's Valkey: it need not wait for us, and its data goes on at the same address.

        What is connected to it loses the connection for a moment. Does nothing with one of our own.
        """
        if self.owned:
            return
        self._locks.pop().close()
        while not self.owned:
            await asyncio.sleep(0.1)
            if owner := _lock(self._folder / "owner.lock", fcntl.LOCK_EX):
                self._locks.append(owner)
                await end_orphan(self._folder)
                await self._run()

    async def until_unused(self, say: Say) -> None:
        """Wait until no other process needs our Valkey, and keep it so."""
        warned = False
        while self.owned:
            # Exclusive, so nobody joins a queue that is about to end.
            if users := _lock(self._folder / "users.lock", fcntl.LOCK_EX):
                self._locks.append(users)
                return
            if not warned:
                warned = True
                say("Another darkroom command still needs the queue: waiting for it. Ctrl-C stops it all.")
            await asyncio.sleep(0.2)

    async def close(self) -> None:
        """Stop our own one; leave another's."""
        try:
            if self._child:
                await self._child.stop()
                (self._folder / "address").unlink(missing_ok=True)
                remove_socket(self.url, self._folder)
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

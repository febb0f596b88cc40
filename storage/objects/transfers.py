"""Files on their way to the store or from it: how far they are, and that they stop when nobody waits any more."""

import hashlib
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path

from storage.errors import Damaged
from storage.objects.fsync import make_folder, sync_file, sync_folder

OnProgress = Callable[[float], None]  # hears which share of a file has been moved, from 0 to 1, in other threads

PART = ".part-"  # how the names of files begin that are not whole yet
COPY_BYTES = 4 * 2**20  # at a time


class TransferCancelled(Exception):
    """Nobody waits for this file any more."""


def ignore_progress(share: float) -> None:
    """Stand for someone to tell where nobody listens."""


class Transfer:
    """A transfer of one file, and its progress callback: called with the bytes that were moved, from any thread."""

    def __init__(self, on_progress: OnProgress) -> None:
        self.on_progress, self.size_bytes = on_progress, 0
        self._moved_bytes, self._lock = 0, threading.Lock()
        self.stopped = False
        self._on_stop: Callable[[], object] = lambda: None

    def stop(self) -> None:
        """Cancel the transfer."""
        with self._lock:
            self.stopped = True
        self._on_stop()

    def when_stopped(self, do: Callable[[], object]) -> None:
        """Set what cancels the transfer; called at once if it was cancelled already."""
        with self._lock:
            self._on_stop = do
        if self.stopped:
            do()

    def __call__(self, moved_bytes: int) -> None:
        """Count bytes; fewer than none where some have to be sent again."""
        with self._lock:
            self._moved_bytes += moved_bytes
            share = self._moved_bytes / max(1, self.size_bytes)
        self.on_progress(min(1.0, share))


@contextmanager
def appearing(target: Path, lock: Callable[[], AbstractContextManager[None]] = nullcontext) -> Iterator[Path]:
    """Atomic write: a temporary path beside `target`, renamed to it only when the block ends well.

    By then bytes and name are on disk. Missing folders are synced under the lock: whoever sees one may rely on it.
    """
    with lock():
        make_folder(target.parent)
        handle, name = tempfile.mkstemp(prefix=PART, dir=target.parent)
    os.close(handle)
    part = Path(name)
    try:
        yield part
        sync_file(part)
        with lock():
            part.replace(target)
        with suppress(FileNotFoundError):  # deleted since, with its folder
            sync_folder(target.parent)
    finally:
        part.unlink(missing_ok=True)


def sweep_parts(folder: Path, older_s: float) -> None:
    """Delete what killed writers left half written in a folder more than `older_s` ago."""
    for base, _, names in os.walk(folder):
        for part in (Path(base) / name for name in names if name.startswith(PART)):
            with suppress(FileNotFoundError):
                if time.time() - part.stat().st_mtime > older_s:
                    part.unlink()


def copy(source: Path, target: Path, transfer: Transfer) -> None:
    """Copy a file; raises TransferCancelled."""
    transfer.size_bytes = source.stat().st_size
    with source.open("rb") as there, target.open("wb") as here:
        while chunk := there.read(COPY_BYTES):
            here.write(chunk)
            transfer(len(chunk))
            if transfer.stopped:
                raise TransferCancelled


def file_hash(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def check(path: Path, sha256: str, key: str) -> None:
    """Raise Damaged if the file that was fetched as object `key` has another hash; an empty one checks nothing."""
    if sha256 and file_hash(path) != sha256:
        raise Damaged(f"The object {key!r} is damaged: its content has another hash.")

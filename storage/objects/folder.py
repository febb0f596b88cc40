"""The object store that is a folder, with the conditional writes of S3: for one machine."""

import asyncio
import fcntl
import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

from storage.errors import Full, Missing, StoreError
from storage.objects.folder_errors import is_full, os_failure
from storage.objects.fsync import make_folder, unlink
from storage.objects.store import NAME, Store, T, Versioned, checked_name, checked_prefix
from storage.objects.transfers import Transfer, appearing, check, copy, sweep_parts

LOCK = ".lock"


class FolderStore(Store):
    """A folder of files, for one machine. Writes appear whole or not at all; conditions hold between processes.

    What was written or deleted outlives a power cut: files and folders are synced before a method returns.
    Files are written under another name beside their place, without a lock; a lock file guards the moments at which
    they take their names, lose them, or are compared.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    async def put(self, key: str, data: bytes) -> None:
        """Write an object whole."""
        await self._run(self._write, key, data)

    async def put_new(self, key: str, data: bytes) -> bool:
        """Write an object only if there is none."""
        return await self._run(self._write_if, key, data, None)

    async def replace(self, key: str, data: bytes, tag: str) -> bool:
        """Write an object only if it still is the version `tag`."""
        return await self._run(self._write_if, key, data, tag)

    async def get(self, key: str) -> Versioned:
        """Read an object."""
        return await self._run(self._read, key)

    async def vacate(self, key: str, tag: str) -> bool:
        """Delete an object if it still is the version `tag`."""
        return await self._run(self._vacate, key, tag)

    async def names(self, prefix: str, filled: bool = False, *, after: str = "", most: int | None = None) -> list[str]:
        """Names of objects that begin with `prefix`, all or a page of them."""
        return await self._run(self._names, prefix, filled, after, most)

    async def exists(self, key: str) -> bool:
        """Tell whether there is a file of that name."""
        return await self._run(lambda name: self._path(name).is_file(), key)

    async def delete(self, key: str) -> None:
        """Delete an object, and folders that this leaves empty."""
        await self._run(self._delete, key)

    async def delete_prefix(self, prefix: str) -> list[str]:
        """Delete all objects that begin with `prefix`, and what killed writers left half written among them."""
        return await self._run(self._delete_prefix, prefix)

    async def sweep_unfinished(self, older_s: float) -> None:
        """Delete half-written files that are older than `older_s`."""
        await self._run(lambda _: sweep_parts(self.root, older_s), "")

    def _path(self, key: str) -> Path:
        return self.root / checked_name(key)

    async def _run(self, function: Callable[..., T], key: str, *arguments: object) -> T:
        try:
            return await asyncio.to_thread(function, key, *arguments)
        except OSError as error:
            says = f"{error.strerror or error}{f' ({error.filename})' if error.filename else ''}"
            # A full disk has its own class: forgetting and deleting go on then, and make room.
            kind = Full if is_full(error) else StoreError
            raise kind(f"The store in {self.root} failed: {says}.", os_failure(error)) from error

    def _read(self, key: str) -> Versioned:
        with _missing(key):
            data = self._path(key).read_bytes()
        return Versioned(data, hashlib.sha256(data).hexdigest())

    def _write(self, key: str, data: bytes) -> None:
        with appearing(self._path(key), self._lock) as part:
            part.write_bytes(data)

    def _write_if(self, key: str, data: bytes, tag: str | None) -> bool:
        # Without the lock two processes could both find their condition true, and both write.
        with self._lock():
            if is_so := self._tag(key) == tag:
                with appearing(self._path(key)) as part:
                    part.write_bytes(data)
            return is_so

    def _vacate(self, key: str, tag: str) -> bool:
        with self._lock():
            if is_so := self._tag(key) == tag:
                unlink([self._path(key)], self.root)
            return is_so

    def _tag(self, key: str) -> str | None:
        return self._read(key).tag if self._path(key).is_file() else None

    def _upload(self, key: str, path: Path, transfer: Transfer) -> None:
        with appearing(self._path(key), self._lock) as part:
            copy(path, part, transfer)

    def _download(self, key: str, path: Path, sha256: str, transfer: Transfer) -> None:
        with appearing(path) as part:
            with _missing(key):
                copy(self._path(key), part, transfer)
            check(part, sha256, key)

    def _names(self, prefix: str, filled: bool, after: str, most: int | None) -> list[str]:
        names = (name for name in self._files(prefix, after) if NAME.fullmatch(name))
        return list(islice((name for name in names if not filled or self._is_filled(name)), most))

    def _is_filled(self, name: str) -> bool:
        try:
            return (self.root / name).stat().st_size > 0
        except (FileNotFoundError, NotADirectoryError):  # deleted just now
            return False

    def _files(self, prefix: str, after: str = "") -> Iterator[str]:
        """Paths of files in the order of their names, as S3 lists them; no folder is read before it is its turn."""
        return self._below(checked_prefix(prefix).rpartition("/")[0], prefix, after)

    def _below(self, folder: str, prefix: str, after: str) -> Iterator[str]:
        try:
            with os.scandir(self.root / folder) as entries:
                # Folders sort with their slash, so that `a-b` comes before `a/b`, as in S3.
                paths = sorted(
                    f"{folder}{'/' * bool(folder)}{entry.name}{'/' * entry.is_dir(follow_symlinks=False)}"
                    for entry in entries
                )
        except (FileNotFoundError, NotADirectoryError):
            return
        for path in paths:
            if path.endswith("/"):
                if (path.startswith(prefix) or prefix.startswith(path)) and (path > after or after.startswith(path)):
                    yield from self._below(path[:-1], prefix, after)
            elif path.startswith(prefix) and path > after and path != LOCK:
                yield path

    def _delete(self, key: str) -> None:
        path = self._path(key)
        with self._lock():
            unlink([path], self.root)

    def _delete_prefix(self, prefix: str) -> list[str]:
        with self._lock():
            # Half-written files are not object names and are deleted here too, but not reported.
            names = list(self._files(prefix))
            unlink([self.root / name for name in names], self.root)
        return [name for name in names if NAME.fullmatch(name)]

    @contextmanager
    def _lock(self) -> Iterator[None]:
        make_folder(self.root)
        with (self.root / LOCK).open("w") as handle:
            # The kernel releases the lock when its holder dies, so no stale lock is left behind.
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield


@contextmanager
def _missing(key: str) -> Iterator[None]:
    try:
        yield
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
        raise Missing(f"There is no object {key!r}.") from error

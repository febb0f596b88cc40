"""The object store behind one small interface, with conditional writes; and the store that is a folder.

Object names are made of ids and hashes, never of what people typed: `[a-z0-9._/-]`, no empty or dotted parts.
"""

import asyncio
import fcntl
import hashlib
import os
import re
import shutil
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, TypeVar

from storage.errors import Missing, StoreError

T = TypeVar("T")
NAME = re.compile(r"[a-z0-9_-][a-z0-9._-]*(/[a-z0-9_-][a-z0-9._-]*)*")


class Versioned(NamedTuple):
    """An object's bytes with the tag that `replace` wants back."""

    data: bytes
    tag: str


def checked_name(key: str) -> str:
    """Return `key` if it is a proper object name, else raise StoreError."""
    if not NAME.fullmatch(key):
        raise StoreError(f"{key!r} is not a proper object name.")
    return key


class Store(ABC):
    """Objects by name. Every method raises StoreError when the store fails, and Missing where it says so."""

    @abstractmethod
    async def put(self, key: str, data: bytes) -> None:
        """Write an object whole, replacing what was there."""

    @abstractmethod
    async def put_new(self, key: str, data: bytes) -> bool:
        """Write an object only if there is none of that name; tell whether it was written."""

    @abstractmethod
    async def replace(self, key: str, data: bytes, tag: str) -> bool:
        """Write an object only if it still is the version `tag`; tell whether it was written."""

    @abstractmethod
    async def get(self, key: str) -> Versioned:
        """Read an object; raises Missing."""

    @abstractmethod
    async def put_file(self, key: str, path: Path) -> None:
        """Upload a file, in parts if it is large."""

    @abstractmethod
    async def get_file(self, key: str, path: Path) -> None:
        """Download an object into a file that appears only when whole; raises Missing."""

    @abstractmethod
    async def names(self, prefix: str) -> list[str]:
        """Names of all objects that begin with `prefix`, sorted."""

    @abstractmethod
    async def delete(self, key: str) -> None:
        """Delete an object; it is no error if there is none."""

    async def exists(self, key: str) -> bool:
        """Tell whether there is an object of that name."""
        return key in await self.names(key)

    async def delete_prefix(self, prefix: str) -> list[str]:
        """Delete all objects that begin with `prefix`; return their names."""
        names = await self.names(prefix)
        for name in names:
            await self.delete(name)
        return names


class FolderStore(Store):
    """A folder of files, for one machine. Writes appear whole or not at all; conditions hold between processes."""

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

    async def put_file(self, key: str, path: Path) -> None:
        """Copy a file in."""
        await self._run(self._copy, path, self._path(key))

    async def get_file(self, key: str, path: Path) -> None:
        """Copy an object out."""
        await self._run(self._copy, self._path(key), path)

    async def names(self, prefix: str) -> list[str]:
        """Names of all objects that begin with `prefix`."""
        return await self._run(self._walk, prefix)

    async def delete(self, key: str) -> None:
        """Delete an object, and folders that this leaves empty."""
        await self._run(self._delete, key)

    def _path(self, key: str) -> Path:
        return self.root / checked_name(key)

    async def _run(self, function: Callable[..., T], *arguments: object) -> T:
        try:
            return await asyncio.to_thread(function, *arguments)
        except FileNotFoundError as error:
            raise Missing(f"There is no object {error.filename!r}.") from error
        except OSError as error:
            raise StoreError(f"The store in {self.root} failed: {error.strerror or error}.") from error

    def _read(self, key: str) -> Versioned:
        data = self._path(key).read_bytes()
        return Versioned(data, hashlib.sha256(data).hexdigest())

    def _write(self, key: str, data: bytes) -> None:
        with _appearing(self._path(key)) as part:
            part.write_bytes(data)

    def _write_if(self, key: str, data: bytes, tag: str | None) -> bool:
        with self._lock():
            now = self._read(key).tag if self._path(key).exists() else None
            if now == tag:
                self._write(key, data)
            return now == tag

    def _copy(self, source: Path, target: Path) -> None:
        with _appearing(target) as part:
            shutil.copyfile(source, part)

    def _walk(self, prefix: str) -> list[str]:
        folder = self.root / prefix.rpartition("/")[0]
        paths = (Path(base) / name for base, _, names in os.walk(folder) for name in names if not name.startswith("."))
        return sorted(name for p in paths if (name := p.relative_to(self.root).as_posix()).startswith(prefix))

    def _delete(self, key: str) -> None:
        path = self._path(key)
        path.unlink(missing_ok=True)
        for folder in path.parents:
            if folder == self.root:
                break
            try:
                folder.rmdir()
            except OSError:
                break

    @contextmanager
    def _lock(self) -> Iterator[None]:
        self.root.mkdir(parents=True, exist_ok=True)
        with (self.root / ".lock").open("w") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield


@contextmanager
def _appearing(target: Path) -> Iterator[Path]:
    """Give a temporary path beside `target`, which takes its name only when the block ends well."""
    for _ in range(3):
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            handle, name = tempfile.mkstemp(prefix=".part-", dir=target.parent)
            break
        except FileNotFoundError:  # a delete elsewhere removed the folder it had just emptied
            continue
    else:
        raise OSError(f"{target.parent} keeps disappearing")
    os.close(handle)
    part = Path(name)
    try:
        yield part
        with part.open("rb") as written:
            os.fsync(written.fileno())
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)

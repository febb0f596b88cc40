"""The interface of the object store: objects by name, with conditional writes.

Object names are made of ids and hashes, never of what people typed: `[a-z0-9._/-]`, no empty or dotted parts.
No name is the folder of another: `jobs/7` and `jobs/7/job.json` cannot both be objects.
"""

import asyncio
import re
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, TypeVar

from storage.background_tasks import in_background
from storage.errors import DiskFull, Full, StoreError
from storage.failures import Failure
from storage.objects.transfers import OnProgress, Transfer, TransferCancelled, ignore_progress

T = TypeVar("T")
NAME = re.compile(r"[a-z0-9_-][a-z0-9._-]*(/[a-z0-9_-][a-z0-9._-]*)*")
PAGE = 1000  # names in one answer of S3 at most


class Versioned(NamedTuple):
    """An object's bytes with the tag that `replace` wants back."""

    data: bytes
    tag: str


def checked_name(key: str) -> str:
    """Return `key` if it is a proper object name, else raise StoreError."""
    if not NAME.fullmatch(key):
        raise StoreError(f"{key!r} is not a proper object name.", Failure.PERMANENT)
    return key


def checked_prefix(prefix: str) -> str:
    """Return `prefix` if proper object names can begin with it (the empty one included), else raise StoreError."""
    if prefix and not NAME.fullmatch(prefix.removesuffix("/")):
        raise StoreError(f"{prefix!r} is not the beginning of a proper object name.", Failure.PERMANENT)
    return prefix


class Store(ABC):
    """Objects by name. Every method raises StoreError when the store fails, and Missing where it says so."""

    keeps_versions: bool = False  # as was seen by a write: what is deleted stays, as an older version

    @abstractmethod
    async def put(self, key: str, data: bytes) -> None:
        """Write an object whole, replacing what was there."""

    async def put_in_parts(self, key: str, data: bytes) -> None:
        """Write an object in the way of large files, where the store has one."""
        await self.put(key, data)

    @abstractmethod
    async def put_new(self, key: str, data: bytes) -> bool:
        """Write an object only if there is none of that name; tell whether it was written."""

    @abstractmethod
    async def replace(self, key: str, data: bytes, tag: str) -> bool:
        """Write an object only if it still is the version `tag`; tell whether it was written."""

    @abstractmethod
    async def get(self, key: str) -> Versioned:
        """Read an object; raises Missing."""

    async def put_file(self, key: str, path: Path, on_progress: OnProgress = ignore_progress) -> None:
        """Upload a file, in parts if it is large. If this is cancelled, nothing stays: the name has to be its own."""
        transfer = Transfer(on_progress)
        upload = asyncio.ensure_future(self._run(self._upload, key, path, transfer))
        try:
            # A thread cannot be cancelled: the upload is told to stop, and its object is deleted behind the caller's
            # back.
            await asyncio.shield(upload)
        except asyncio.CancelledError:
            transfer.stop()
            in_background(self._take_back(key, upload))
            raise

    async def _take_back(self, key: str, upload: "asyncio.Future[None]") -> None:
        """Wait for an upload that cannot be interrupted at once, and delete what it may have written, failed or not."""
        with suppress(StoreError, TransferCancelled):
            await upload
        with suppress(StoreError):
            await self.delete(key)

    async def get_file(self, key: str, path: Path, sha256: str = "", on_progress: OnProgress = ignore_progress) -> None:
        """Download an object into a file that appears only when whole; raises Missing, DiskFull, Damaged by hash."""
        transfer = Transfer(on_progress)
        try:
            await self._run(self._download, key, path, sha256, transfer)
        except Full as error:  # reading fills no store
            raise DiskFull(f"There is no room on this machine's disk for {key!r}.") from error
        finally:
            transfer.stop()

    @abstractmethod
    async def _run(self, function: Callable[..., T], key: str, *arguments: object) -> T:
        """Call a function of the store off the event loop, and make its errors StoreErrors."""

    @abstractmethod
    def _upload(self, key: str, path: Path, transfer: Transfer) -> None: ...

    @abstractmethod
    def _download(self, key: str, path: Path, sha256: str, transfer: Transfer) -> None: ...

    @abstractmethod
    async def vacate(self, key: str, tag: str) -> bool:
        """Delete an object if it still is the version `tag`, or leave it empty for good; tell whether it was so."""

    @abstractmethod
    async def names(self, prefix: str, filled: bool = False, *, after: str = "", most: int | None = None) -> list[str]:
        """Names of the objects that begin with `prefix`, sorted; of those only that are not empty, if `filled`.

        A page of a long listing are those that sort after the name `after`, `most` of them.
        """

    async def sweep_unfinished(self, older_s: float) -> None:  # noqa: B027 (most stores show nothing unfinished)
        """Delete what writers that were killed more than `older_s` ago left half written, where that can be seen."""

    async def pages(self, prefix: str, *, after: str = "", page: int = PAGE) -> AsyncIterator[list[str]]:
        """Names of all objects that begin with `prefix`, sorted, a page at a time; none of them empty."""
        while names := await self.names(prefix, after=after, most=page):
            yield names
            after = names[-1]

    @abstractmethod
    async def delete(self, key: str) -> None:
        """Delete an object; it is no error if there is none."""

    @abstractmethod
    async def exists(self, key: str) -> bool:
        """Tell whether there is an object of that name."""

    @abstractmethod
    async def delete_prefix(self, prefix: str) -> list[str]:
        """Delete all objects that begin with `prefix`; return their names."""

"""Weights and class sets on this machine, so that they are fetched once. What is forgotten is dropped here, too.

Where disk space is short, what was used least recently goes. Whoever uses a file holds a lock on its folder, which the
kernel lets go of when its process ends: several workers may share a cache.
"""

import asyncio
import fcntl
import logging
import math
import os
import shutil
import time
from collections.abc import Container, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from arq.connections import ArqRedis

from storage.contract.subjects import subject_key
from storage.ids import is_id
from storage.objects.store import Store, checked_name
from storage.objects.transfers import PART, OnProgress, file_hash, ignore_progress
from storage.queue.forgotten_subjects import forgotten_subjects
from storage.service_errors import SERVICE_ERRORS, reason_of
from trainer.worker.scratch import lock

log = logging.getLogger(__name__)

LOOK_S = 15  # between two looks whether anybody was forgotten: into Redis, and at disk space
LOOK_IN_STORE_S = 900  # between two looks whether subjects are still there: it may be that Redis was emptied
SPARE = 1.25  # times the disk space that a job needs: that much the cache leaves free, so that there is room for jobs
AGAIN_S = 0.05  # between two looks whether a folder that is being emptied can be used


class Cache:
    """A folder of objects by their names in the store; several workers may share it."""

    def __init__(self, store: Store, folder: Path, least_bytes: int = 0) -> None:
        """`least_bytes` are to be free on the disk, or the machine takes no jobs."""
        self.store, self.folder, self.free_bytes = store, folder, round(SPARE * least_bytes)
        self._hashes: dict[Path, tuple[str, int, int, int]] = {}  # of files, each with its inode, size and time

    async def path(
        self, key: str, sha256: str = "", on_progress: OnProgress = ignore_progress, hold: ExitStack | None = None
    ) -> Path:
        """Path of an object, fetched if the store has it; where it belongs if not. Raises Damaged by its hash.

        Raises StoreError for what is no object name: it would be a path elsewhere.

        The file stays there until `hold` is closed, however short disk space is.
        """
        path = self.folder / checked_name(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        with ExitStack() as meanwhile:
            # Locked before looking: otherwise the file could be evicted between the look and its use.
            (hold or meanwhile).callback(os.close, await _shared(path.parent))
            if path.exists() and sha256 and await self._hash(path) != sha256:
                path.unlink()
            if not path.exists() and await self.store.exists(key):
                await self.store.get_file(key, path, sha256, on_progress)
            if path.exists():
                # When it was used last, by which eviction chooses; when it was written stays as it is.
                os.utime(path, ns=(time.time_ns(), path.stat().st_mtime_ns))
        return path

    async def _hash(self, path: Path) -> str:
        """The hash of a file, which is read once as long as it is the same file of the same size and time."""
        stat = path.stat()
        which = stat.st_ino, stat.st_size, stat.st_mtime_ns
        if self._hashes.get(path, ("",))[1:] != which:
            self._hashes[path] = await asyncio.to_thread(file_hash, path), *which
        return self._hashes[path][0]

    async def keep_clean(self, redis: ArqRedis) -> None:
        """Evict files of forgotten subjects, and least recently used ones if space runs low, until cancelled."""
        await asyncio.to_thread(self.drop_parts)
        looked_s = -math.inf
        while True:
            try:
                if time.monotonic() - looked_s > LOOK_IN_STORE_S:
                    await self.drop_forgotten()
                    looked_s = time.monotonic()
                await asyncio.to_thread(self.make_room)
                await self.drop_forgotten(await forgotten_subjects(redis))
            except SERVICE_ERRORS as error:
                log.warning("cannot look for forgotten subjects: %s", reason_of(error))
            await asyncio.sleep(LOOK_S)

    async def drop_forgotten(self, among: Container[str] | None = None) -> None:
        """Delete all files of subjects that have no record any more; of all, or `among` some."""
        for folder in (self.folder / "subjects").glob("*"):
            if among is not None and folder.name not in among:
                continue
            # Redis only says where to look; the record decides.
            if not is_id(folder.name) or not await self.store.exists(subject_key(folder.name)):
                await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
                log.info("dropped what was cached of the forgotten subject %s", folder.name)

    def drop_parts(self) -> None:
        """Delete what workers that were killed had fetched in part."""
        for part in self.folder.rglob(f"{PART}*"):
            with _alone(part.parent) as unused:
                if unused:
                    part.unlink(missing_ok=True)

    def make_room(self) -> None:
        """Delete what was used least recently and is not in use, until enough disk space is free."""
        if not self._is_short():
            return
        used_s = {path: path.stat().st_atime for path in self.folder.rglob("*") if path.is_file()}
        for path in sorted(used_s, key=used_s.__getitem__):
            with _alone(path.parent) as unused:
                # Another worker may have used or removed it since the list was made.
                if unused and path.exists() and path.stat().st_atime == used_s[path]:
                    path.unlink()
                    log.info("dropped %s, for disk space is short", path.relative_to(self.folder))
            if not self._is_short():
                return

    def _is_short(self) -> bool:
        return self.folder.exists() and shutil.disk_usage(self.folder).free < self.free_bytes


async def _shared(folder: Path) -> int:
    """Lock a folder for one of those who use what is in it."""
    while (handle := lock(folder, fcntl.LOCK_SH)) is None:  # noqa: ASYNC110 (a lock tells nobody)
        await asyncio.sleep(AGAIN_S)
    return handle


@contextmanager
def _alone(folder: Path) -> Iterator[bool]:
    """Lock a folder if nobody uses what is in it; give whether that is so."""
    handle = lock(folder)
    try:
        yield handle is not None
    finally:
        if handle is not None:
            os.close(handle)

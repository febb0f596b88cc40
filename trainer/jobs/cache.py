"""Weights and class sets on this machine, so that they are fetched once. What is forgotten is dropped here, too."""

import asyncio
import logging
import shutil
from pathlib import Path

from storage.errors import StoreError
from storage.files import Store
from storage.subjects import subject_key
from storage.transfers import Told, file_hash, nobody

log = logging.getLogger(__name__)

LOOK_S = 15


class Cache:
    """A folder of objects by their names in the store; several workers may share it."""

    def __init__(self, store: Store, folder: Path) -> None:
        self.store, self.folder = store, folder

    async def path(self, key: str, sha256: str = "", told: Told = nobody) -> Path:
        """Path of an object, fetched if the store has it; where it belongs if not. Raises Damaged by its hash."""
        path = self.folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and sha256 and await asyncio.to_thread(file_hash, path) != sha256:
            path.unlink()
        if not path.exists() and await self.store.exists(key):
            await self.store.get_file(key, path, sha256, told)
        return path

    async def keep_clean(self) -> None:
        """Drop what is forgotten, now and every few seconds, until cancelled."""
        while True:
            try:
                await self.drop_forgotten()
            except (StoreError, OSError) as error:
                log.warning("cannot look for forgotten subjects: %s", error)
            await asyncio.sleep(LOOK_S)

    async def drop_forgotten(self) -> None:
        """Delete all files of subjects that have no record any more."""
        for folder in (self.folder / "subjects").glob("*"):
            if not await self.store.exists(subject_key(folder.name)):
                await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
                log.info("dropped what was cached of the forgotten subject %s", folder.name)

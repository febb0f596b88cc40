"""What TensorBoard shows of a training, in the store: `subjects/<subject>/logs/<job>/`, a file for each attempt.

The files of one training are read together, in the order of their names, and each says from which step on it takes the
place of those before: steps that a worker took in vain are not shown twice. Without torch.
"""

import asyncio
import logging
from pathlib import Path

from storage.contract.subjects import logs_prefix, subject_key
from storage.errors import StoreError
from storage.kinds.train import TrainJob
from storage.objects.store import Store

log = logging.getLogger(__name__)

SUFFIX = ".tfevents"  # by which TensorBoard knows its files, wherever it is in the name


class TensorBoardStore:
    """TensorBoard files of one attempt, uploaded before each checkpoint, so that they reach as far, and at the end."""

    def __init__(self, store: Store, job: TrainJob, attempt: str, folder: Path) -> None:
        """`folder` is where TensorBoard's files appear, if there are any."""
        self.store, self.job, self.attempt, self.folder = store, job, attempt, folder
        self.prefix = f"{logs_prefix(job.subjects[0])}{job.id}/"
        self._sizes_bytes: dict[Path, int] = {}  # as uploaded
        self._before: int | None = None  # how many files earlier attempts have left
        self._turn = asyncio.Lock()

    async def upload(self) -> None:
        """Upload what has grown. If the store fails, that is done the next time."""
        try:
            async with self._turn:
                await self._upload()
        except (StoreError, OSError) as error:
            log.warning("what TensorBoard shows of job %s is uploaded later: %s", self.job.id, error)

    async def _upload(self) -> None:
        for number, path in enumerate(sorted(self.folder.rglob("*tfevents*"))):
            size_bytes = path.stat().st_size
            # TensorBoard only appends: what has the same size has the same content.
            if size_bytes != self._sizes_bytes.get(path):
                await self.store.put_file(await self._key(number), path)
                self._sizes_bytes[path] = size_bytes
        there = [await self.store.exists(subject_key(each)) for each in self.job.subjects]
        if self._sizes_bytes and not all(there):
            await self.store.delete_prefix(self.prefix)  # it was forgotten meanwhile

    async def _key(self, number: int) -> str:
        """Name of this attempt's file of that number, after those of earlier attempts; no host is in it, nor a time."""
        if self._before is None:
            self._before = len(await self.store.names(self.prefix))
        return f"{self.prefix}{self._before + number:04d}-{self.attempt}{SUFFIX}"

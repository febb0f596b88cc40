"""The checkpoints of a training in the store, by which it goes on wherever its job is taken up next. Without torch."""

import asyncio
import logging
from pathlib import Path, PurePosixPath

from storage.contract.outcomes import outcome_key
from storage.contract.subjects import checkpoint_prefix, subject_key
from storage.errors import Damaged, Missing, StoreError
from storage.kinds.train import TrainJob
from storage.objects.store import Store
from storage.objects.transfers import OnProgress, file_hash, ignore_progress
from trainer.worker.tensorboard_store import TensorBoardStore

log = logging.getLogger(__name__)

KEPT = 2  # the newest, and the one before in case it is damaged


class CheckpointStore:
    """The checkpoints of one training, `<step>/<sha256>.safetensors` each, uploaded in the background."""

    def __init__(self, store: Store, job: TrainJob, logs: TensorBoardStore | None = None) -> None:
        """`logs` are those of this attempt: they are to reach as far as the checkpoints."""
        self.store, self.job, self.logs, self.prefix = store, job, logs, checkpoint_prefix(job.subjects[0], job.id)
        self._waiting: tuple[int, Path] | None = None
        self._latest: Path | None = None  # stays here: the engine goes on from it where memory was short
        self._uploading: asyncio.Task[None] | None = None

    async def newest(self, folder: Path, on_progress: OnProgress = ignore_progress) -> Path | None:
        """Fetch the newest that is whole into `folder`; None if there is none."""
        path = folder / "begun.safetensors"
        for key in reversed(await self.store.names(self.prefix)):
            try:
                await self.store.get_file(key, path, PurePosixPath(key).stem, on_progress)
            except (Damaged, Missing) as error:  # a late attempt may have just removed it
                log.warning("a checkpoint is passed over: %s", error)
            else:
                return path
        return None

    def add(self, step: int, path: Path) -> None:
        """Upload a checkpoint; one that still waits for the one before gives way to it."""
        # On a slow connection only the newest is worth the time.
        if self._waiting:
            self._waiting[1].unlink(missing_ok=True)
        self._waiting = step, path
        if not self._uploading or self._uploading.done():
            self._uploading = asyncio.create_task(self._upload_all())

    async def settle(self) -> None:
        """Wait until all are uploaded."""
        if self._uploading:
            await self._uploading

    async def remove(self) -> None:
        """Delete them all."""
        await self.store.delete_prefix(self.prefix)

    async def _upload_all(self) -> None:
        while self._waiting:
            (step, path), self._waiting = self._waiting, None
            # First, so that logs are never behind the checkpoint that a training resumes from.
            if self.logs:
                await self.logs.upload()
            try:
                await self._upload(step, path)
            except (StoreError, OSError) as error:  # the training goes on, and the next one may be luckier
                log.warning("the checkpoint at step %d is not kept: %s", step, error)
            if self._latest and self._latest != path:
                self._latest.unlink(missing_ok=True)
            self._latest = path

    async def _upload(self, step: int, path: Path) -> None:
        sha256 = await asyncio.to_thread(file_hash, path)
        await self.store.put_file(f"{self.prefix}{step:06d}/{sha256}.safetensors", path)
        for key in (await self.store.names(self.prefix))[:-KEPT]:
            await self.store.delete(key)
        # it may have been late: nothing must be left of a job that has ended, nor of a subject that is forgotten
        there = [await self.store.exists(subject_key(each)) for each in self.job.subjects]
        if await self.store.exists(outcome_key(self.job.id)) or not all(there):
            await self.remove()

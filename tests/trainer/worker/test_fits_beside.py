"""Whether a job is to begin beside others: asked for several queues at once, with a store that may be slow."""

import asyncio
from pathlib import Path

from arq.connections import ArqRedis

from storage.contract.jobs import job_key
from storage.kinds.imagine import ImagineJob
from storage.objects.folder import FolderStore
from storage.objects.store import Versioned
from storage.settings.trainer import TrainerSettings
from trainer.kinds import handlers_of
from trainer.worker.engine_client import EngineClient
from trainer.worker.job_runner import KNOWN_MAX, JobRunner


class SlowStore(FolderStore):
    """A folder that keeps whoever reads one object waiting."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.held, self.asked, self.go_on = "", asyncio.Event(), asyncio.Event()

    async def get(self, key: str) -> Versioned:
        """Read an object."""
        if key == self.held:
            self.asked.set()
            await self.go_on.wait()
        return await super().get(key)


async def test_who_waits_for_the_store_is_not_disturbed_by_other_queues(redis: ArqRedis, tmp_path: Path) -> None:
    store = SlowStore(tmp_path / "store")
    jobs = [ImagineJob(space="home", owner="ada", prompt="a", model_prompt="a", seed=1) for _ in range(KNOWN_MAX + 5)]
    for job in jobs:
        await store.put(job_key(job.id), job.model_dump_json().encode())
    first, slow, *others = (job.id for job in jobs)
    settings = TrainerSettings(DARKROOM_HOME=str(tmp_path))
    runner = JobRunner(settings, store, redis, EngineClient("none"), handlers_of())
    store.held = job_key(slow)
    asking = asyncio.create_task(runner.fits_beside(first, [slow]))
    await asyncio.wait_for(store.asked.wait(), 60)
    for _ in range(2):  # more jobs than are remembered
        await runner.fits_beside(others[0], others[1:])
    store.go_on.set()
    assert await asyncio.wait_for(asking, 60)

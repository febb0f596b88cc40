"""Pictures of a request that is drawn in several batches: those of one are there while the next is drawn."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from bot.kinds.imagine import ImaginePresenter
from storage.contract.jobs import job_key
from storage.errors import StoreError
from storage.kinds.imagine import ImagineJob
from storage.objects.folder import FolderStore
from storage.objects.transfers import OnProgress, ignore_progress
from tests.trainer.worker.test_engine_client import picture, run
from tests.trainer.worker.test_publish import drawing_attempt
from trainer.engine.engine import Engine
from trainer.models.base import BaseModel
from trainer.protocol import Hello, ImagineTask, ProgressReport, TaskResult

HELLO = Hello(base_sha256="", folder="", image_px=8, device="cpu")


class Store(FolderStore):
    """A folder that counts what it takes, and takes nothing while it is `down`."""

    down = False

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.taken: list[str] = []

    async def put_file(self, key: str, path: Path, on_progress: OnProgress = ignore_progress) -> None:
        """Upload a file."""
        if self.down:
            raise StoreError("The store is down.")
        self.taken.append(key.rpartition("/")[2])
        await super().put_file(key, path, on_progress)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def drawn(folder: Path, seeds: Sequence[int], grid: bool = False) -> tuple[str, ...]:
    """Paths of pictures of these seeds."""
    paths = [*(folder / f"{seed}.png" for seed in seeds), *([folder / "grid.png"] if grid else [])]
    for path in paths:
        Image.new("RGB", (8, 8)).save(path)
    return tuple(map(str, paths))


@pytest.mark.parametrize("down", [False, True])
async def test_each_is_stored_once_and_as_soon_as_the_store_takes_it(store: Store, tmp_path: Path, down: bool) -> None:
    job = ImagineJob(space="home", owner="ada", prompt="a dog", model_prompt="a dog", seed=1, count=3)
    await store.put(job_key(job.id), job.model_dump_json().encode())
    handler = drawing_attempt(store, job, tmp_path, "attempt-1-a")
    store.down = down
    report = ProgressReport(job=job.id, phase="drawing", step=5, of=9, pictures=drawn(tmp_path, [1, 2]))
    await handler.on_report(report)
    await handler.on_report(report)  # drawn again with less memory
    early = [] if down else ["1.png", "2.png"]
    assert sorted(store.taken) == early
    progress = handler.attempt.reporter.now()
    assert [each.key.rpartition("/")[2] for each in progress.samples] == early
    said = ImaginePresenter().working(job, progress)
    assert said.pictures == progress.samples
    assert said.shown == ()  # in chats whose uploads stay the whole set is shown, when it is there
    store.down = False
    how: dict[str, Any] = {"steps": 1, "guidance": 1, "negative": "", "scheduler": "ddim", "vary_seed": None}
    task = ImagineTask(job=job.id, folder="", prompt="a", weights=None, seeds=(1, 2, 3), facts={}, **how)
    result = TaskResult(job=job.id, state="done", files=drawn(tmp_path, [1, 2, 3], grid=True))
    outcome = await handler.publish(task, HELLO, result)
    assert [each.seed for each in outcome.pictures] == [1, 2, 3] and outcome.grid and outcome.grid.seed is None
    assert sorted(store.taken) == ["1.png", "2.png", "3.png", "grid.png"]


def test_the_engine_says_of_each_batch_that_it_is_done(base: BaseModel, tmp_path: Path) -> None:
    said: list[Any] = []
    run(Engine(base, said.append), picture(tmp_path, seeds=tuple(range(10)), steps=3))
    reports = [news for news in said if isinstance(news, ProgressReport) and news.pictures]
    early = [path for report in reports for path in report.pictures]
    *files, _ = said[-1].files
    assert 4 <= len(early) < 10 and early == files[: len(early)]
    assert all(Path(path).exists() for path in early)

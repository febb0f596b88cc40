"""What attempts leave in the store, whenever they are cut off: what is published stays, what is late goes."""

import asyncio
import hashlib
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from storage import background_tasks
from storage.contract.jobs import job_key
from storage.contract.outcomes import Outcome
from storage.contract.subject_repository import Subjects
from storage.contract.subjects import Subject, checkpoint_prefix
from storage.errors import UserError
from storage.ids import new_id
from storage.kinds.imagine import ImagineJob
from storage.kinds.train import TrainJob, TrainOutcome
from storage.lifecycle.erasure import erase_subject
from storage.lifecycle.finalize import delete_job, finalize_job, publish_outcome
from storage.objects.folder import FolderStore
from storage.objects.store import Store
from tests.servers.backing import opened
from tests.servers.proxy import Hold, proxy
from trainer.kinds.imagine import ImagineHandler
from trainer.kinds.train_publish import TrainPublisher
from trainer.protocol import Hello, ImagineTask, TaskResult
from trainer.worker.attempt import Attempt, WorkerContext
from trainer.worker.cache import Cache
from trainer.worker.checkpoint_store import CheckpointStore


async def accepted(store: Store) -> TrainJob:
    subject = Subject(space="home", owner="ada", name="rex", noun="dog", base_model="toyworld")
    await Subjects(store).add(subject)
    job = TrainJob(space="home", owner="ada", subjects=(subject.id,))
    await store.put(job_key(job.id), job.model_dump_json().encode())
    return job


def attempt(store: Store, folder: Path, name: str) -> TrainPublisher:
    return TrainPublisher(store, Cache(store, folder / "cache"), name)


def drawing_attempt(store: Store, job: ImagineJob, folder: Path, name: str) -> ImagineHandler:
    rest: dict[str, Any] = {
        "settings": None,
        "redis": None,
        "engine": None,
        "cache": None,
    }  # which only an engine needs
    return ImagineHandler(job, Attempt(job, name, folder, WorkerContext(store=store, **rest)))


async def until_quiet() -> None:
    async with asyncio.timeout(120):
        while background_tasks.TASKS:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def cut_off_while_uploading(store: Store, job: TrainJob, folder: Path, hold: Hold) -> Path:
    """Have a first attempt lose its lease in the middle of storing a sample; return the sample."""
    sample = folder / "sample-000010.png"
    Image.new("RGB", (8, 8)).save(sample)
    hold.begin("sample-")
    uploading = asyncio.create_task(attempt(store, folder, "attempt-1-a").sample(job, sample))
    assert await asyncio.to_thread(hold.came.wait, 20)
    uploading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await uploading
    return sample


async def test_a_late_worker_does_not_take_back_what_another_has_published(
    ways: tuple[Store, Store], tmp_path: Path, hold: Hold
) -> None:
    late, store = ways
    job = await accepted(store)
    sample = await cut_off_while_uploading(late, job, tmp_path, hold)
    picture = await attempt(store, tmp_path, "attempt-2-b").sample(job, sample)
    await publish_outcome(store, job, TrainOutcome(job=job.id, state="done", message="", pictures=(picture,)))
    await finalize_job(store, job)
    hold.end()
    await until_quiet()
    assert (await store.get(picture.key)).data == sample.read_bytes()


@pytest.mark.parametrize("deleted", [True, False], ids=["deleted", "cancelled"])
async def test_a_sample_that_comes_after_the_end_of_its_training_goes(
    ways: tuple[Store, Store], tmp_path: Path, hold: Hold, deleted: bool
) -> None:
    late, store = ways
    job = await accepted(store)
    await cut_off_while_uploading(late, job, tmp_path, hold)
    if deleted:
        await delete_job(store, job.id)
    else:
        await publish_outcome(store, job, Outcome(job=job.id, state="cancelled", message=""))
        await finalize_job(store, job)
    before = await store.names("")
    hold.end()
    await until_quiet()
    assert await store.names("") == before


async def test_pictures_of_a_forgotten_subject_do_not_appear(tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "store")
    subject = await Subjects(store).get((await accepted(store)).subjects[0])
    job = ImagineJob(
        space="home", owner="ada", prompt="a [rex]", model_prompt="a", seed=1, subjects=(subject.id,), count=1
    )
    await store.put(job_key(job.id), job.model_dump_json().encode())
    one, grid = tmp_path / "1.png", tmp_path / "grid.png"
    for path in (one, grid):
        Image.new("RGB", (8, 8)).save(path)
    how = {"steps": 1, "guidance": 1, "negative": "", "scheduler": "ddim", "vary_seed": None}
    task = ImagineTask(job=job.id, folder="", prompt="a", weights=None, seeds=(1,), facts={}, **how)
    result = TaskResult(job=job.id, state="done", files=(str(one), str(grid)))
    hello = Hello(base_sha256="", folder="", image_px=8, device="cpu")
    just_in_time = await drawing_attempt(store, job, tmp_path, "attempt-1-a").publish(task, hello, result)
    await erase_subject(store, subject, [])  # which found no job of it: this one was accepted a moment later
    with pytest.raises(UserError, match="was forgotten meanwhile"):
        await drawing_attempt(store, job, tmp_path, "attempt-2-b").publish(task, hello, result)
    await publish_outcome(store, job, just_in_time)
    await finalize_job(store, job)
    assert await store.names(f"jobs/{job.id}/") == []


async def test_a_checkpoint_that_is_removed_while_it_is_looked_for_gives_way_to_the_one_before(
    bucket: str, s3_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = (404, "<Error><Code>NoSuchKey</Code></Error>")
    job = TrainJob(space="home", owner="ada", subjects=(new_id(),))
    for step in (2, 4):
        with proxy(s3_server, lambda _, path, __, step=step: gone if f"/00000{step}/" in path else None) as url:
            monkeypatch.setenv("AWS_ENDPOINT_URL_S3", s3_server)
            store = await opened(f"s3://{bucket}")
            key = (
                f"{checkpoint_prefix(job.subjects[0], job.id)}00000{step}/{hashlib.sha256(b'%d' % step).hexdigest()}.x"
            )
            await store.put(key, b"%d" % step)
            monkeypatch.setenv("AWS_ENDPOINT_URL_S3", url)
            begun = await CheckpointStore(await opened(f"s3://{bucket}"), job).newest(tmp_path)
            assert (begun and begun.read_bytes()) == (None if step == 2 else b"2")

"""What attempts leave in the store, whenever they are cut off: what is published stays, what is late goes."""

import asyncio
from pathlib import Path

import pytest
from PIL import Image

from storage import files
from storage.files import Store
from storage.jobs import Outcome, TrainJob, job_key
from storage.settling import delete_job, publish, settle
from storage.subjects import Subject, Subjects
from tests.servers import Hold
from trainer.jobs.cache import Cache
from trainer.jobs.publishing import Publisher


async def accepted(store: Store) -> TrainJob:
    subject = Subject(space="home", owner="ada", name="rex", noun="dog", base_model="toyworld")
    await Subjects(store).add(subject)
    job = TrainJob(space="home", owner="ada", subject=subject.id)
    await store.put(job_key(job.id), job.model_dump_json().encode())
    return job


def attempt(store: Store, folder: Path, name: str) -> Publisher:
    return Publisher(store, Cache(store, folder / "cache"), name)


async def until_quiet() -> None:
    async with asyncio.timeout(20):
        while files._BACKGROUND:  # noqa: ASYNC110
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
    await publish(store, job, Outcome(job=job.id, state="done", message="", pictures=(picture,)))
    await settle(store, job)
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
        await publish(store, job, Outcome(job=job.id, state="cancelled", message=""))
        await settle(store, job)
    before = await store.names("")
    hold.end()
    await until_quiet()
    assert await store.names("") == before

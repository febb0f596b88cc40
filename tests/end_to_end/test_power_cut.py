"""The power goes right after "accepted": a block device is copied while it is in use, and the copy is mounted."""

import shutil
from contextlib import aclosing
from pathlib import Path

import pytest
from arq.connections import ArqRedis

from bot.app import Darkroom
from bot.core.messages import Request
from bot.photos.uploads import Upload
from storage.contract.jobs import job_key
from storage.contract.subject_repository import Subjects
from storage.kinds.stored import read_job
from storage.kinds.train import TrainJob
from storage.objects.folder import FolderStore
from storage.settings.bot import BotSettings
from tests.conftest import photos_of_a_character
from tests.support.loop_mounts import ext4_image, mounted
from tests.support.quick import examples

JOBS, TRAININGS = examples(120), 4  # twelve in `make test-all`
SIZE_BYTES = 24 * 2**20


@pytest.fixture
def image(tmp_path: Path) -> Path:
    return ext4_image(tmp_path / "disk.img", SIZE_BYTES)


@pytest.mark.slow
async def test_no_accepted_job_is_lost_when_the_power_goes(image: Path, redis: ArqRedis, tmp_path: Path) -> None:
    settings = BotSettings(DARKROOM_HOME=tmp_path, DARKROOM_PHOTO_MIN_PX=64, DARKROOM_REQUESTS_PER_MINUTE=1000)
    photos, lost = photos_of_a_character(), []
    with mounted(image) as disk:
        app = Darkroom(settings, FolderStore(disk / "store"), redis)
        try:
            for k in range(JOBS):
                job = await accepted(app, k, photos)
                copy = shutil.copyfile(image, tmp_path / "copy.img")
                lost += await missing(copy, job)
        finally:
            await app.close()
    assert lost == []


async def test_what_was_deleted_stays_deleted_when_the_power_goes(image: Path, tmp_path: Path) -> None:
    with mounted(image) as disk:
        store = FolderStore(disk / "store")
        for name in ("photos/a/one", "photos/a/two", "photos/b"):
            await store.put(name, b"a face")
        await store.delete_prefix("photos/")
        copy = shutil.copyfile(image, tmp_path / "copy.img")
    with mounted(copy) as disk:
        assert await FolderStore(disk / "store").names("") == []


async def accepted(app: Darkroom, k: int, photos: tuple[Upload, ...]) -> str:
    """Ask for something of each kind as a person of their own; return the job's id once it is accepted."""
    request = Request(space=f"server {k // 50}", user=f"person {k}", command="imagine", arguments={"prompt": "a dog"})
    if k < TRAININGS:
        arguments = {"name": f"rex{k}", "class": "dog"}
        request = request.model_copy(update={"command": "dreambooth train", "arguments": arguments, "uploads": photos})
    async with aclosing(app.answer(request)) as replies:
        async for reply in replies:
            if reply.job == request.id:
                return request.id
    raise AssertionError(reply.text)


async def missing(image: Path, job_id: str) -> list[str]:
    """Names of the objects that a job needs and that are not whole in the image."""
    with mounted(image) as disk:
        store = FolderStore(disk / "store")
        if not await store.exists(job_key(job_id)):
            return [job_key(job_id)]
        job = read_job((await store.get(job_key(job_id))).data)
        if not isinstance(job, TrainJob):
            return []
        subject = await Subjects(store).get(job.subjects[0])
        named = await Subjects(store).find(job.space, subject.name)
        photos = [photo.key for photo in subject.photos]
        assert photos and named == subject
        return [key for key in photos if not (await store.get(key)).data]

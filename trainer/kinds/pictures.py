"""Pictures of an attempt in the store."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from storage.contract.jobs import Job
from storage.contract.outcomes import Picture
from storage.contract.subject_repository import Subjects
from storage.contract.subjects import Photo, Subject
from storage.errors import Missing, UserError
from storage.objects.store import Store, checked_name

UPLOADS = 8  # pictures of one job that are stored at a time
GONE = "The subject was forgotten meanwhile."


class StoredFile(NamedTuple):
    """A picture in a file that is to be stored as `key`."""

    key: str
    path: Path
    caption: str
    seed: int | None = None


async def store_pictures(store: Store, files: Sequence[StoredFile]) -> list[Picture]:
    """Store pictures of an attempt, some at a time: a store far away takes a while for each. Raises StoreError."""
    free = asyncio.Semaphore(UPLOADS)

    async def stored(file: StoredFile) -> Picture:
        async with free:
            return await store_picture(store, *file)

    # All have ended before one is said to have failed: a late write would be left over.
    pictures = await asyncio.gather(*map(stored, files), return_exceptions=True)
    for picture in pictures:
        if isinstance(picture, BaseException):
            raise picture
    return [picture for picture in pictures if isinstance(picture, Picture)]


async def store_picture(store: Store, key: str, path: Path, caption: str, seed: int | None = None) -> Picture:
    """Store a picture of an attempt's own."""
    await store.put_file(key, path)
    return picture_of(key, path, caption, seed=seed)


def picture_of(key: str, path: Path, caption: str, **more: int | None) -> Picture:
    """What is said of the picture in a file that is stored as `key`."""
    with Image.open(path) as image:
        width_px, height_px = image.size
    return Picture(key=key, width_px=width_px, height_px=height_px, caption=caption, **more)


async def fetch_photo(store: Store, photo: Photo, folder: Path) -> Path:
    """Fetch a prepared photo into an attempt's folder; raises Missing, and Damaged by its hash."""
    path = photo_path(folder, photo.sha256)
    await store.get_file(photo.key, path, photo.sha256)
    return path


def photo_path(folder: Path, sha256: str) -> Path:
    """Path of a photo by its hash; raises StoreError for what is none."""
    return folder / checked_name(f"photo-{sha256}")


async def still_there(store: Store, job: Job) -> list[Subject]:
    """The subjects of a job; raises UserError if one was forgotten meanwhile."""
    try:
        return [await Subjects(store).get(each) for each in job.subjects]
    except Missing as error:
        raise UserError(GONE) from error

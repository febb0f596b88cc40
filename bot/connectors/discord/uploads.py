"""Pictures as files of a message: small enough for Discord, and smaller where it does not take them all the same."""

import asyncio
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

import discord
from PIL import Image

from storage.contract.outcomes import Picture
from storage.errors import Missing
from storage.objects.store import Store

FILE_BYTES = 10 * 2**20
SMALLEST_PX = 64


@dataclass(frozen=True)
class UploadSize:
    """How large the pictures of a message may be."""

    message_bytes: int  # all together
    jpeg: bool = False  # whatever they are, and however small


USUAL = UploadSize(24 * 2**20)
SMALL = UploadSize(900 * 2**10, jpeg=True)  # proxies often stop at a megabyte


async def files(store: Store, pictures: Sequence[Picture], size: UploadSize = USUAL) -> list[discord.File]:
    """Read pictures from the store; those that were deleted meanwhile are left out."""
    uploads = []
    most_bytes = min(FILE_BYTES, size.message_bytes // max(1, len(pictures)))
    for picture in pictures:
        try:
            data = (await store.get(picture.key)).data
            name, data = await asyncio.to_thread(fit, PurePosixPath(picture.key).name, data, most_bytes, size.jpeg)
        except (Missing, OSError):  # deleted meanwhile, or no picture any more; the store raises no OSError
            continue
        uploads.append(discord.File(io.BytesIO(data), name, description=picture.caption[:1024] or None))
    return uploads


def fit(name: str, data: bytes, most_bytes: int, jpeg: bool = False) -> tuple[str, bytes]:
    """Make a picture small enough, a JPEG in any case if `jpeg`; return its name and bytes."""
    if len(data) <= most_bytes and not jpeg:
        return name, data
    image = Image.open(io.BytesIO(data)).convert("RGB")
    while True:
        smaller = io.BytesIO()
        image.save(smaller, "JPEG", quality=85)
        if smaller.tell() <= most_bytes or max(image.size) <= SMALLEST_PX:
            return f"{PurePosixPath(name).stem}.jpg", smaller.getvalue()
        image.thumbnail((image.width // 2, image.height // 2))

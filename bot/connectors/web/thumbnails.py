"""Thumbnails of pictures for the gallery, made once and kept beside the job or subject, with which they are deleted."""

import asyncio
import hashlib
import io
import logging

from PIL import Image

from storage.errors import Missing, StoreError
from storage.objects.store import Store

log = logging.getLogger(__name__)

SIDE_PX = 384  # of the longer side; tiles have up to 256, and screens more than one pixel to each
PIXELS_MAX = 2**26  # of a picture that is made smaller; no model here draws larger ones
MEDIA_TYPE = "image/webp"


async def thumbnail(store: Store, home: str, key: str) -> bytes | None:
    """The thumbnail of the PNG `key`, which belongs to `home`; None if the picture itself is small enough.

    Raises Missing if there is no such picture, or not any more by the time that the thumbnail is kept.
    """
    name = f"{home}/thumbnails/{hashlib.sha256(key.encode()).hexdigest()[:40]}.webp"
    try:
        return (await store.get(name)).data
    except Missing:
        small = await asyncio.to_thread(_shrunk, (await store.get(key)).data)
    if small is None:
        return None
    try:
        await store.put(name, small)
    except StoreError as error:  # it is made again next time
        log.warning("a thumbnail is not kept: %s", error)
    if not await store.exists(key):  # whoever deleted the picture may not have seen this
        await store.delete(name)
        raise Missing(f"{key!r} is deleted.")
    return small


def _shrunk(data: bytes) -> bytes | None:
    """A smaller version of a PNG; None for what is small, too large, or no PNG that can be read."""
    try:
        with Image.open(io.BytesIO(data), formats=["PNG"]) as picture:
            if max(picture.size) <= SIDE_PX or picture.width * picture.height > PIXELS_MAX:
                return None
            small = picture.convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None
    small.thumbnail((SIDE_PX, SIDE_PX))
    buffer = io.BytesIO()
    small.save(buffer, "WEBP", quality=82)
    return buffer.getvalue()

"""Photos for tests, as files of every kind."""

import io
import os
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pillow_heif
import pytest
from PIL import Image

from bot.photos.decoder_protocol import DecodedPhoto
from bot.photos.errors import PhotoError
from bot.photos.limits import PhotoLimits
from bot.photos.prepare import prepare_photo
from bot.photos.uploads import Upload
from bot.photos.vetting import PreparedPhoto, Vetting, check, judge
from storage.settings.bot import BotSettings

pillow_heif.register_heif_opener()

REAL_PHOTOS = Path(
    os.environ.get("DARKROOM_TEST_PHOTOS") or Path(__file__).parents[2] / "../shared/data/dreambooth"
).resolve()
needs_real_photos = pytest.mark.skipif(
    not REAL_PHOTOS.is_dir(), reason="no folder of real photos; name one in DARKROOM_TEST_PHOTOS"
)


def scene(width: int = 96, height: int = 96, seed: int = 0) -> Image.Image:
    """Draw a smooth picture of random colours, so that seeds look different and codecs do not hurt."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


def saved(picture: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    """Encode a picture."""
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def judged(*files: bytes, names: tuple[str, ...] = (), **settings: Any) -> Vetting:
    """Vet files called 1, 2, … or `names` under the usual settings with some changed."""
    chosen = BotSettings(_env_file=None, DARKROOM_BASE_MODEL="toyworld").model_copy(update=settings)
    calls = names or tuple(str(n) for n in range(1, len(files) + 1))
    uploads = [Upload(name=n, data=d) for n, d in zip(calls, files, strict=True)]
    return judge(uploads, [_reading(upload, chosen) for upload in uploads])


def _reading(upload: Upload, settings: BotSettings) -> DecodedPhoto | PhotoError:
    try:
        check(upload, settings.photo_max_bytes)
        return prepare_photo(upload.data, PhotoLimits.from_settings(settings))
    except PhotoError as error:
        return error


def reason(file: bytes, **settings: Any) -> str:
    """Vet one file that must be refused, and say why it was."""
    (refused,) = judged(file, **settings).refused
    return refused.reason


def accepted(file: bytes, **settings: Any) -> PreparedPhoto:
    """Vet one file that must be accepted."""
    vetting = judged(file, **settings)
    assert not vetting.refused, vetting.summary
    return vetting.accepted[0]


def opened(file: bytes, **settings: Any) -> Image.Image:
    """Vet one file that must be accepted, and open what was prepared."""
    return Image.open(io.BytesIO(accepted(file, **settings).data))


def png_chunks(file: bytes) -> list[tuple[bytes, bytes]]:
    """Take a PNG apart: (type, body) of each chunk."""
    chunks, at = [], 8
    while at < len(file):
        (length,) = struct.unpack(">I", file[at : at + 4])
        chunks.append((file[at + 4 : at + 8], file[at + 8 : at + 8 + length]))
        at += 12 + length
    return chunks


def png_of(chunks: list[tuple[bytes, bytes]]) -> bytes:
    """Put a PNG together."""
    parts = (struct.pack(">I", len(b)) + t + b + struct.pack(">I", zlib.crc32(t + b)) for t, b in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)

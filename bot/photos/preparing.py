"""Judge the photos that people send, and prepare the good ones for training.

No photo sinks the others: each is accepted, or refused with its reason. What is accepted is a square around the
subject, upright, in sRGB, made of nothing but pixels: no place, time, camera or name leaves this module. What was
transparent stays so: it says what is not subject. A photo that was not square is kept whole beside its square.
"""

import hashlib
import io
from collections.abc import Sequence

import imagehash
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bot.messages import Upload
from bot.photos.captions import plain
from bot.photos.crop import subject_square, whole_box
from bot.photos.decode import PhotoError, decode, flat, open_photo
from bot.photos.vetting import Prepared, Refused, Vetting, labels
from storage.settings import Settings
from storage.subjects import NEUTRAL

# Two photos are near-duplicates if some views of theirs differ in a tenth of the bits or less. Measured, of 300 bits:
# photos of one subject (20 real ones) differ in 36 to 150, drawings of one character (80) in different places in 34
# to 170; copies that were recompressed, halved, 5 % cropped, a quarter darker, a fifth brighter, or a mix, in 0 to 30.
HASH_SIDE = 10  # bits a side, for each of three colours: two places may differ in colour alone
DUPLICATE_BITS = 30
HASHED_PX = 128
VIEWS = [(0.0, 0.5, 0.5), (0.1, 0.5, 0.5)] + [(0.05, x, y) for x in (0, 0.5, 1) for y in (0, 0.5, 1)]

OPAQUE = 255

Bits = NDArray[np.bool_]


def vet(uploads: Sequence[Upload], settings: Settings) -> Vetting:
    """Accept or refuse each photo. Raises nothing for bad photos; takes up to a second each, so call it in a thread."""
    accepted: list[Prepared] = []
    refused: list[Refused] = []
    seen: list[tuple[str, Bits]] = []
    for name, upload in zip(labels(uploads), uploads, strict=True):
        try:
            picture = _picture(upload, settings)
            seen.append((name, _unlike(seen, flat(picture))))
        except PhotoError as error:
            refused.append(Refused(name=name, reason=str(error)))
        else:
            accepted.append(_prepared(name, picture, plain(upload.caption)))
    return Vetting(accepted=tuple(accepted), refused=tuple(refused))


def fingerprint(picture: Image.Image) -> Bits:
    """Hash a picture and what is left of it when a little is cut off; shape (views, bits)."""
    small = picture.convert("RGB").resize((HASHED_PX, HASHED_PX), Image.Resampling.LANCZOS)
    return np.stack([_hash(small, cut, x, y) for cut, x, y in VIEWS])


def near_duplicates(views: Bits, others: Bits) -> bool:
    """Tell whether two fingerprints are of copies, one perhaps cropped, resized, recompressed or brightened."""
    return bool((views[:, None] != others[None]).sum(axis=2).min() <= DUPLICATE_BITS)


def _hash(small: Image.Image, cut: float, x: float, y: float) -> Bits:
    """Hash `small` less `cut` of its sides, taken off left and right as `x` says, top and bottom as `y` does."""
    lost, kept = cut * HASHED_PX, (1 - cut) * HASHED_PX
    view = small.crop((round(lost * x), round(lost * y), round(lost * x + kept), round(lost * y + kept)))
    return np.concatenate([imagehash.phash(colour, HASH_SIDE).hash.ravel() for colour in view.split()])


def _unlike(seen: Sequence[tuple[str, Bits]], picture: Image.Image) -> Bits:
    """Return the fingerprint of a picture that is unlike all before; raises PhotoError."""
    views = fingerprint(picture)
    for name, others in seen:
        if near_duplicates(views, others):
            raise PhotoError(f"is a near-duplicate of {name}")
    return views


def _picture(upload: Upload, settings: Settings) -> Image.Image:
    """Decode a photo whole; raises PhotoError."""
    data = upload.data
    if upload.trouble:
        raise PhotoError(upload.trouble)
    if not data:
        raise PhotoError("is not a picture: the file is empty")
    if len(data) > settings.photo_max_bytes:
        size, limit = len(data) / 2**20, settings.photo_max_bytes / 2**20
        raise PhotoError(f"is too large: {size:.3g} MB, where {limit:.3g} MB is the limit")
    return decode(open_photo(data, settings.photo_max_pixels, settings.photo_min_px), settings.photo_px)


def _prepared(name: str, picture: Image.Image, caption: str) -> Prepared:
    """Cut out the subject and encode it; only the pixels are copied, so no metadata can come along."""
    square = subject_square(flat(picture))
    whole = whole_box(picture.size, square)
    data = _encoded(picture.crop(square))
    return Prepared(
        name=name,
        data=data,
        sha256=hashlib.sha256(data).hexdigest(),
        side_px=square[2] - square[0],
        caption=caption,
        whole=_encoded(picture.crop(whole)) if whole else b"",
    )


def _encoded(picture: Image.Image) -> bytes:
    pixels = np.array(picture)
    if picture.mode == "RGBA":
        opacity = pixels[..., 3]
        pixels[opacity == 0, :3] = NEUTRAL  # what somebody erased is not to be there under the surface
        pixels = pixels if opacity.min() < OPAQUE else pixels[..., :3]
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()

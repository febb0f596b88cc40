"""Prepare one photo for training: a square around its subject, upright, in sRGB, made of nothing but pixels.

No place, time, camera or name leaves this module. What was transparent stays so: it says what is not subject. A photo
that was not square is kept whole beside its square. This runs in the process of `bot/photos/decoder_process.py`.
"""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bot.photos.crop import subject_square, whole_box
from bot.photos.decode import decode, flat, open_photo
from bot.photos.decoder_protocol import DecodedPhoto
from bot.photos.letterbox import shows_nothing, without_bars
from bot.photos.limits import PhotoLimits
from storage.colours import NEUTRAL
from storage.perceptual_hash import phash

HASH_SIDE = 10  # bits a side, for each of three colours: two places may differ in colour alone
HASHED_PX = 128
VIEWS = [(0.0, 0.5, 0.5), (0.1, 0.5, 0.5)] + [(0.05, x, y) for x in (0, 0.5, 1) for y in (0, 0.5, 1)]

OPAQUE = 255


def prepare_photo(data: bytes, limits: PhotoLimits) -> DecodedPhoto:
    """Decode a photo, cut out its subject and encode it; raises PhotoError if it cannot be used."""
    picture, note = _trimmed(decode(open_photo(data, limits.max_pixels, limits.min_px), limits.side_px), limits.min_px)
    square = subject_square(flat(picture))
    # Kept beside the square for aspect ratio bucketing, which trains on whole photos.
    whole = whole_box(picture.size, square)
    return DecodedPhoto(
        square=_encoded(picture.crop(square)),
        side_px=square[2] - square[0],
        whole=_encoded(picture.crop(whole)) if whole else b"",
        fingerprint=fingerprint(flat(picture)),
        note=note,
    )


def _trimmed(picture: Image.Image, min_px: int) -> tuple[Image.Image, str]:
    """A picture without bars at its edges, and what the person should know of it."""
    if nothing := shows_nothing(flat(picture)):
        return picture, nothing
    box = without_bars(picture)
    if box is None:
        return picture, ""
    if min(box[2] - box[0], box[3] - box[1]) < min_px:
        return picture, "has plain bars at its edges, which were left: too little would remain without them"
    return picture.crop(box), "had plain bars at its edges, which were cut off"


def fingerprint(picture: Image.Image) -> tuple[int, ...]:
    """Hash a picture and what is left of it when a little is cut off: the bits of each view, as a number."""
    small = picture.convert("RGB").resize((HASHED_PX, HASHED_PX), Image.Resampling.LANCZOS)
    return tuple(_hash(small, cut, x, y) for cut, x, y in VIEWS)


def _hash(small: Image.Image, cut: float, x: float, y: float) -> int:
    """Hash `small` less `cut` of its sides, taken off left and right as `x` says, top and bottom as `y` does."""
    lost, inside = cut * HASHED_PX, (1 - cut) * HASHED_PX
    view = small.crop((round(lost * x), round(lost * y), round(lost * x + inside), round(lost * y + inside)))
    bits: NDArray[np.bool_] = np.concatenate([phash(colour, HASH_SIDE).ravel() for colour in view.split()])
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def _encoded(picture: Image.Image) -> bytes:
    pixels = np.array(picture)
    if picture.mode == "RGBA":
        opacity = pixels[..., 3]
        pixels[opacity == 0, :3] = NEUTRAL  # what somebody erased is not to be there under the surface
        pixels = pixels if opacity.min() < OPAQUE else pixels[..., :3]
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()

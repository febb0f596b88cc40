"""Sizes of pictures: width and height in pixels, and the aspect ratios that people know."""

import math
import re
import struct
from typing import Literal, NamedTuple, get_args

SIDE_MIN_PX, SIDE_MAX_PX, SIDE_STEP_PX = 32, 2048, 8  # autoencoders make one latent of eight pixels each way
Aspect = Literal["1:1", "5:4", "4:3", "3:2", "16:9", "21:9", "4:5", "3:4", "2:3", "9:16", "9:21"]
ASPECTS: tuple[Aspect, ...] = get_args(Aspect)
NAMED_ASPECTS: dict[str, Aspect] = {"square": "1:1", "landscape": "3:2", "portrait": "2:3"}
_PNG_START = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"
_WRITTEN = re.compile(r"([0-9]{1,5})(?:\s*[x×*]\s*([0-9]{1,5}))?", re.IGNORECASE)


class Size(NamedTuple):
    """Width and height in pixels."""

    width_px: int
    height_px: int

    def __str__(self) -> str:
        """The size as people write it.

        >>> str(Size(768, 512))
        '768×512'
        """
        return f"{self.width_px}×{self.height_px}"


def png_size(data: bytes) -> Size:
    """The size of a PNG, which stands in its first chunk (PNG specification, 11.2.1); raises ValueError for no PNG."""
    if not data.startswith(_PNG_START) or len(data) < len(_PNG_START) + 8:
        raise ValueError("this is no PNG")
    return Size(*struct.unpack_from(">II", data, len(_PNG_START)))


def size_of_aspect(side_px: int, aspect: str, step_px: int = SIDE_STEP_PX) -> Size:
    """The size of an aspect ratio with about as many pixels as a square of `side_px`, in whole steps.

    >>> size_of_aspect(512, "3:2")
    Size(width_px=624, height_px=416)
    """
    wide, high = map(int, aspect.split(":"))
    sides = (side_px * math.sqrt(wide / high), side_px * math.sqrt(high / wide))
    return Size(*(max(step_px, round(side / step_px) * step_px) for side in sides))


def spelled_aspect(text: str) -> str:
    """An aspect ratio in the spelling of ASPECTS, which this does not check.

    >>> spelled_aspect("16/9"), spelled_aspect("4 × 3"), spelled_aspect("Portrait")
    ('16:9', '4:3', '2:3')
    """
    text = text.strip().casefold()
    return NAMED_ASPECTS.get(text) or re.sub(r"\s*[:：/x×]\s*", ":", text)


def read_size(text: str) -> Size:
    """Read a size as people write it, `512` or `768x512`; raises ValueError with a sentence.

    >>> read_size("768 × 512")
    Size(width_px=768, height_px=512)
    """
    match = _WRITTEN.fullmatch(text.strip())
    if not match:
        raise ValueError("a size is a side in pixels or width × height, like 512 or 768x512")
    sides = int(match[1]), int(match[2] or match[1])
    if not all(SIDE_MIN_PX <= side <= SIDE_MAX_PX for side in sides):
        raise ValueError(f"a side of a picture has {SIDE_MIN_PX} to {SIDE_MAX_PX:,} pixels")
    if any(side % SIDE_STEP_PX for side in sides):
        near = Size(*(max(SIDE_MIN_PX, round(side / SIDE_STEP_PX) * SIDE_STEP_PX) for side in sides))
        raise ValueError(f"sides of a picture are multiples of {SIDE_STEP_PX} pixels: {near} would do")
    return Size(*sides)

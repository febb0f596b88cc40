"""Bars at the edges of a picture that are no part of the photo: letterboxes, frames, and what a screenshot adds.

A bar is nearly black or nearly white all along an edge, perhaps with a tint as apps' dark themes and paper have it, and
ends at once over most of its length. A plain background is none: what stands in front of it begins here and there.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.int16]
Box = tuple[int, int, int, int]  # left, top, right, bottom

NEAR = 24  # of 255: as far as compression moves a plain colour
DARK, BRIGHT = 64, 235  # bars are as dark or as bright as this
DARK_TINT, BRIGHT_TINT = 24, 16  # with channels so near to each other: a pale sky has more
PLAIN_SHARE = 0.97  # of a line at the end of a bar
BUSY_SHARE = 0.55  # of any line of it: clocks and buttons stand there
ENDS_AT_ONCE = 0.6  # of the picture's length, where the next lines are another thing
LARGEST_SHARE = 0.45  # of the picture's height
SMALLEST_PX = 2
ROUNDS = 3  # a screenshot has a status bar, and below it perhaps a frame

LOOKED_AT_PX = 64  # of a side: averages of many pixels have no noise
BLACK, PLAIN_SPREAD = 32, 6


def without_bars(picture: Image.Image) -> Box | None:
    """The box of a picture within its bars; None if it has none, or is transparent in places."""
    if picture.mode != "RGB":
        return None
    pixels = np.asarray(picture, np.int16)
    height, width = pixels.shape[:2]
    left, top, right, bottom = 0, 0, width, height
    for _ in range(ROUNDS):
        before = (left, top, right, bottom)
        top += _bar(pixels[top:bottom, left:right])
        bottom -= _bar(pixels[top:bottom, left:right][::-1])
        left += _bar(pixels[top:bottom, left:right].swapaxes(0, 1))
        right -= _bar(pixels[top:bottom, left:right].swapaxes(0, 1)[::-1])
        if (left, top, right, bottom) == before:
            break
    return None if (left, top, right, bottom) == (0, 0, width, height) else (left, top, right, bottom)


def shows_nothing(picture: Image.Image) -> str:
    """Why a picture shows nothing, being of one colour or nearly black; empty if it shows something."""
    small = picture.convert("RGB").resize((LOOKED_AT_PX, LOOKED_AT_PX), Image.Resampling.BOX)
    pixels = np.asarray(small, np.int16).reshape(-1, 3)
    low, high = np.percentile(pixels, (1, 99), axis=0)
    if high.max() <= BLACK:
        return "is all but black, so nothing can be seen in it"
    return "is all of one colour, so nothing can be seen in it" if (high - low).max() <= PLAIN_SPREAD else ""


def _bar(pixels: Pixels) -> int:
    """How many lines at the beginning of `pixels` are a bar."""
    lines, length = pixels.shape[:2]
    if lines < 4 * SMALLEST_PX or length == 0:
        return 0
    colour = np.median(pixels[0], axis=0)
    if not _is_bars_colour(colour):
        return 0
    share = (np.abs(pixels - colour).max(axis=-1) <= NEAR).mean(axis=1)
    other = np.flatnonzero(share < BUSY_SHARE)
    end = int(other[0]) if len(other) else lines
    if not SMALLEST_PX <= end <= LARGEST_SHARE * lines or share[: max(1, end - 1)].mean() < 0.85:
        return 0
    last, next_ = max(0, end - 2), min(lines - 1, end + 1)
    if share[last] < PLAIN_SHARE:
        return 0
    jump = np.abs(pixels[next_] - pixels[last]).max(axis=-1) > NEAR
    return end if jump.mean() >= ENDS_AT_ONCE else 0


def _is_bars_colour(colour: NDArray[np.float64]) -> bool:
    tint, mean = colour.max() - colour.min(), colour.mean()
    return bool((mean <= DARK and tint <= DARK_TINT) or (mean >= BRIGHT and tint <= BRIGHT_TINT))

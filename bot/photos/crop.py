"""Find the square of a photo that holds the subject.

The square is as wide as the photo's short side, so only its place along the long side is open. What differs from
the colours at the photo's edge and what is rich in detail counts as subject, a little more so near the middle.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

Floats = NDArray[np.float32]

SKETCH_PX = 96  # long side of the sketch that is searched: enough to see where things are
SKETCH_MIN_PX = 8  # its short side at least, so that a panorama is not squeezed to nothing
BORDER_SHARE = 0.1  # a colour is background if it is near to this share of the border
DETAIL_WEIGHT = 0.5
CENTRE_SIGMA = 1.0  # in half sides: mild, the middle of an edge keeps six tenths of its weight
LONGEST_ASPECT = 2.0  # of a photo that is kept whole: no model draws panoramas
NOT_SQUARE = 1.1  # an aspect below this is not worth keeping the photo twice
TAPER = 0.5  # what the window's ends weigh against its middle, which centres the subject in it


def subject_square(picture: Image.Image) -> tuple[int, int, int, int]:
    """Return the box (left, top, right, bottom) of the square that holds the most of the subject, in pixels."""
    width, height = picture.size
    side = min(width, height)
    weights = saliency(sketch(picture))
    if width >= height:
        left = round(_best_start(weights.sum(axis=0), side / width) * (width - side))
        return left, 0, left + side, side
    top = round(_best_start(weights.sum(axis=1), side / height) * (height - side))
    return 0, top, side, top + side


def whole_box(size: tuple[int, int], square: tuple[int, int, int, int]) -> tuple[int, int, int, int] | None:
    """The box of the whole photo, or of so much about its square as is not too long; None if that is all but square."""
    width, height = size
    short, long = min(size), min(max(size), round(LONGEST_ASPECT * min(size)))
    if long < NOT_SQUARE * short:
        return None
    left = min(max(0, (square[0] + square[2] - long) // 2), width - long) if width > height else 0
    top = min(max(0, (square[1] + square[3] - long) // 2), height - long) if height > width else 0
    return (left, top, left + long, height) if width > height else (0, top, width, top + long)


def sketch(picture: Image.Image) -> Image.Image:
    """Return a small RGB version of `picture`, its long side SKETCH_PX."""
    scale = SKETCH_PX / max(picture.size)
    width, height = (max(SKETCH_MIN_PX, round(n * scale)) for n in picture.size)
    return picture.convert("RGB").resize((width, height), Image.Resampling.BOX)


def saliency(small: Image.Image) -> Floats:
    """Weigh each pixel of a small RGB picture by how much it looks like subject; shape (height, width), 0 and up."""
    weights = _unit(_distinctness(small)) + DETAIL_WEIGHT * _unit(_detail(small))
    across, down = np.linspace(-1, 1, small.width), np.linspace(-1, 1, small.height)
    prior = np.exp(-(across[None, :] ** 2 + down[:, None] ** 2) / (2 * CENTRE_SIGMA**2))
    return (weights * prior).astype(np.float32)


def _distinctness(small: Image.Image) -> Floats:
    """Distance of each pixel's colour from the border's colours, all but the nearest few of them."""
    colours = np.asarray(small, np.float32)
    border = np.concatenate([colours[0], colours[-1], colours[:, 0], colours[:, -1]])
    pixels = colours.reshape(-1, 3)
    squares = (pixels**2).sum(1)[:, None] + (border**2).sum(1)[None, :] - 2 * pixels @ border.T
    rank = int(BORDER_SHARE * len(border))
    distances: Floats = np.sqrt(np.partition(squares, rank, axis=1)[:, rank].clip(0))
    return distances.reshape(colours.shape[:2])


def _detail(small: Image.Image) -> Floats:
    """How busy the neighbourhood of each pixel is: the blurred size of the brightness gradient."""
    light = np.asarray(small.convert("L"), np.float32)
    down, across = np.gradient(light)
    size = Image.fromarray(np.hypot(down, across).clip(0, 255).astype(np.uint8))
    return np.asarray(size.filter(ImageFilter.GaussianBlur(2)), np.float32)


def _unit(values: Floats) -> Floats:
    """Scale to a mean of 1, unless there is nothing."""
    mean = float(values.mean())
    return values / mean if mean > 0 else values


def _best_start(profile: Floats, share: float) -> float:
    """Where a window over `share` of `profile` holds the most: 0 is at its start, 1 at its end, 0.5 if all is equal."""
    length = max(1, round(share * len(profile)))
    steps = len(profile) - length
    if steps == 0:
        return 0.5
    taper = 1 - (1 - TAPER) * np.linspace(-1, 1, length) ** 2
    scores = np.convolve(profile, taper, mode="valid")
    best = np.flatnonzero(scores >= scores.max() * (1 - 1e-6))
    return float(best[np.abs(best - steps / 2).argmin()]) / steps

"""Perceptual hash of a picture, which hardly changes when it is scaled, compressed or brightened.

https://www.hackerfactor.com/blog/index.php?/archives/432-Looks-Like-It.html
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

FREQUENCIES = 4  # as many as are kept, each way: the higher ones are left out


def phash(picture: Image.Image, side: int = 8) -> NDArray[np.bool_]:
    """`side` × `side` bits: which of the lowest frequencies of the brightness are above their median."""
    side_px = FREQUENCIES * side
    grey = picture.convert("L").resize((side_px, side_px), Image.Resampling.LANCZOS)
    cosines = _cosines(side_px)[:side]
    lowest = cosines @ np.asarray(grey, dtype=np.float64) @ cosines.T
    bits: NDArray[np.bool_] = lowest > np.median(lowest)
    return bits


@cache
def _cosines(size: int) -> NDArray[np.float64]:
    """The matrix of the discrete cosine transform, DCT-II, by frequency and place; SciPy takes long to import."""
    frequency, place = np.mgrid[:size, :size]
    cosines: NDArray[np.float64] = np.cos(np.pi * frequency * (2 * place + 1) / (2 * size))
    return cosines

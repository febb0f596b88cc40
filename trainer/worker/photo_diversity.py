"""How many of a subject's photos differ: a burst of ten shows hardly more than one of them."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from storage.perceptual_hash import phash

# Of 64 bits. Photos of one real subject (20 of them, about five each) differ in 12 to 42, but for one that is drawn;
# drawings of one character in one place in 2 to 24, half of them in 18 or less.
LIKE_BITS = 10


def count_different(photos: Iterable[Path]) -> int:
    """Count the photos that are unlike all before them; raises OSError for what is no picture."""
    seen: list[NDArray[np.bool_]] = []
    for path in photos:
        with Image.open(path) as image:
            fingerprint = phash(image.convert("RGB"))
        if all(np.count_nonzero(fingerprint != other) > LIKE_BITS for other in seen):
            seen.append(fingerprint)
    return len(seen)

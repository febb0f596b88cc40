"""How many of a subject's photos differ: a burst of ten shows hardly more than one of them."""

from collections.abc import Iterable, Sequence
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
    return len(_different(photos))


def most_different(photos: Sequence[Path], count: int) -> list[Path]:
    """So many photos, in their order: first those that are unlike all before them; raises OSError for no picture."""
    if len(photos) <= count:
        return [*photos]
    different = _different(photos)
    chosen = {*[*different, *(photo for photo in photos if photo not in different)][:count]}
    return [photo for photo in photos if photo in chosen]


def _different(photos: Iterable[Path]) -> list[Path]:
    seen: dict[Path, NDArray[np.bool_]] = {}
    for path in photos:
        with Image.open(path) as image:
            fingerprint = phash(image.convert("RGB"))
        if all(np.count_nonzero(fingerprint != other) > LIKE_BITS for other in seen.values()):
            seen[path] = fingerprint
    return [*seen]

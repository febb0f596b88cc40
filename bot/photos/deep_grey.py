"""Grey of more than eight bits, as scanners and programs of science write it, brought to eight.

Source: TIFF 6.0, sections 4 (PhotometricInterpretation) and 19 (SampleFormat).
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.TiffImagePlugin import BITSPERSAMPLE, PHOTOMETRIC_INTERPRETATION, SAMPLEFORMAT, TiffImageFile

WHITE_IS_ZERO, UNSIGNED = 0, 1


def eight_bit_grey(photo: Image.Image, clear: object) -> Image.Image:
    """Grey as L; RGBA, with what has the value `clear` transparent, if that is a number."""
    values, tags = np.asarray(photo), dict(photo.tag_v2) if isinstance(photo, TiffImageFile) else {}
    light = _light(values, tags)
    if tags.get(PHOTOMETRIC_INTERPRETATION) == WHITE_IS_ZERO:  # Pillow honours it where there are eight bits or fewer
        light = 1 - light
    grey = Image.fromarray(np.rint(light.clip(0, 1) * 255).astype(np.uint8))
    if not isinstance(clear, int):
        return grey
    grey.putalpha(Image.fromarray(np.where(values == clear, 0, 255).astype(np.uint8)))
    return grey.convert("RGBA")


def _light(values: NDArray[Any], tags: dict[int, Any]) -> NDArray[Any]:
    """Values from 0 to 1."""
    if values.dtype.kind == "f":
        values = np.where(np.isfinite(values), values, 0)  # programs mark what was not measured so
        return np.asarray(values / np.float32(max(float(values.max()), 1.0)))
    (bits, *_), (sort, *_) = tags.get(BITSPERSAMPLE, (16,)), tags.get(SAMPLEFORMAT, (UNSIGNED,))
    if bits == 32 and sort == UNSIGNED:  # for which Pillow has no mode
        values = values.view(np.uint32)
    most = 2**bits - 1 if sort == UNSIGNED else 2 ** (bits - 1) - 1
    if bits == 32:  # which programs write that use far fewer of them
        highest = int(values.max())
        most = next((n for n in (2**8 - 1, 2**16 - 1) if highest <= n), most)
    # in single precision: doubles of a large photo would not fit
    return np.asarray(np.divide(values, most, dtype=np.float32, casting="unsafe"))

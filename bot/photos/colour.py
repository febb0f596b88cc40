"""Colour conversion to sRGB, from code points (cICP, nclx) or primaries; HDR is tone-mapped.

Sources: ITU-T H.273 (code points), IEC 61966-2-1 (sRGB), ITU-R BT.2100 (PQ, HLG), BT.2408 (diffuse white at 203 cd/m²).
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Floats = NDArray[np.float32]
Point = tuple[float, float]
Curve = Callable[[Floats], Floats]  # from values as they are stored, 0 to 1, to light, 1 being diffuse white

D65: Point = (0.3127, 0.3290)
SRGB: tuple[Point, Point, Point] = ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06))
PRIMARIES: dict[int, tuple[Point, Point, Point, Point]] = {  # red, green, blue, white by H.273's ColourPrimaries
    1: (*SRGB, D65),
    4: ((0.67, 0.33), (0.21, 0.71), (0.14, 0.08), (0.310, 0.316)),
    5: ((0.64, 0.33), (0.29, 0.60), (0.15, 0.06), D65),
    6: ((0.630, 0.340), (0.310, 0.595), (0.155, 0.070), D65),
    7: ((0.630, 0.340), (0.310, 0.595), (0.155, 0.070), D65),
    8: ((0.681, 0.319), (0.243, 0.692), (0.145, 0.049), (0.310, 0.316)),
    9: ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046), D65),
    11: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), (0.314, 0.351)),
    12: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), D65),
    22: ((0.630, 0.340), (0.295, 0.605), (0.155, 0.077), D65),
}
ADOBE_RGB = ((0.64, 0.33), (0.21, 0.71), (0.15, 0.06), D65)
UNSPECIFIED = 2
WHITE_NITS = 203.0  # of diffuse white in PQ and HLG (BT.2408)
PEAK_NITS = 1000.0  # what HLG is shown at, and what PQ photos of phones reach
KNEE = 0.6  # of diffuse white: darker light stays as it is
LINEAR_TO, STEPS = 0.0031308, 4096


class Space(NamedTuple):
    """A colour space: its primaries with its white, and how stored values become light."""

    primaries: tuple[Point, Point, Point, Point]
    curve: Curve
    hdr: bool = False


def space_of_cicp(cicp: bytes) -> Space | None:
    """The colour space of cICP's code points; None for sRGB itself, and for unspecified or unknown ones."""
    if len(cicp) < 2:
        return None
    primaries, curve = PRIMARIES.get(cicp[0] if cicp[0] != UNSPECIFIED else 1), CURVES.get(cicp[1])
    if primaries is None or curve is None or (primaries[:3] == SRGB and cicp[1] in SRGB_LIKE):
        return None
    return Space(primaries, curve, cicp[1] in HDR)


def space_of_png(gamma: float | None, chromaticity: tuple[float, ...] | None) -> Space | None:
    """The space of a PNG's gAMA and cHRM; None for sRGB's, or numbers that cannot be."""
    power = 1 / gamma if gamma and 0.1 < gamma < 2 else 2.2
    points = PRIMARIES[1]
    if chromaticity and len(chromaticity) == 8 and all(0 < value < 1 for value in chromaticity):
        white, red, green, blue = (chromaticity[k : k + 2] for k in range(0, 8, 2))
        points = (red, green, blue, white)  # type: ignore[assignment]
    near = np.allclose(np.ravel(points), np.ravel(PRIMARIES[1]), atol=0.002)
    if near and abs(power - 2.2) < 0.05:
        return None
    return Space(points, _srgb_curve if abs(power - 2.2) < 0.05 else _power(power))


def to_srgb(photo: Image.Image, space: Space) -> Image.Image:
    """Convert a picture in RGB or RGBA; colours out of sRGB's reach become the nearest within, channel by channel."""
    pixels = np.asarray(photo)
    light = space.curve(np.linspace(0, 1, 256, dtype=np.float32))[pixels[..., :3]]
    if space.hdr:
        light = _tone_mapped(light)
    light = light @ _matrix(space.primaries).T
    codes = _encoded(np.linspace(0, 1, STEPS + 1, dtype=np.float32))
    out = pixels.copy()
    # square roots spread the dark values, where sRGB's curve is steep
    out[..., :3] = codes[np.rint(np.sqrt(light.clip(0, 1)) * STEPS).astype(np.int32)]
    return Image.fromarray(out)


def _encoded(roots: Floats) -> NDArray[np.uint8]:
    """SRGB's codes, 0 to 255, of light whose square roots are given."""
    light = roots**2
    bent = np.where(light <= LINEAR_TO, 12.92 * light, 1.055 * np.maximum(light, LINEAR_TO) ** (1 / 2.4) - 0.055)
    codes: NDArray[np.uint8] = np.rint(255 * bent).astype(np.uint8)
    return codes


def _tone_mapped(light: Floats) -> Floats:
    """Bring light of up to PEAK_NITS below diffuse white: bent above KNEE (Reinhard 2002), hues as they are."""
    most = light.max(axis=-1, keepdims=True)
    above, peak = (most - KNEE).clip(0) / (1 - KNEE), (PEAK_NITS / WHITE_NITS - KNEE) / (1 - KNEE)
    bent = KNEE + (1 - KNEE) * above * (1 + above / peak**2) / (1 + above)
    return np.where(most > KNEE, light * bent / np.maximum(most, KNEE), light)


def _matrix(primaries: tuple[Point, Point, Point, Point]) -> Floats:
    """The matrix from linear RGB of these primaries to linear sRGB, with the white point adapted (scaled in XYZ)."""
    ours, theirs = _to_xyz(PRIMARIES[1]), _to_xyz(primaries)
    adapted = np.diag(ours.sum(axis=1) / theirs.sum(axis=1)) @ theirs
    return (np.linalg.inv(ours) @ adapted).astype(np.float32)


def _to_xyz(primaries: tuple[Point, Point, Point, Point]) -> NDArray[np.float64]:
    columns = np.array([[x / y, 1, (1 - x - y) / y] for x, y in primaries]).T
    return np.asarray(columns[:, :3] * np.linalg.solve(columns[:, :3], columns[:, 3]))


def _power(exponent: float) -> Curve:
    return lambda stored: np.asarray(stored**exponent, np.float32)


def _srgb_curve(stored: Floats) -> Floats:
    return np.where(stored <= 0.04045, stored / 12.92, ((stored + 0.055) / 1.055) ** 2.4).astype(np.float32)


def _pq(stored: Floats) -> Floats:
    m1, m2, c1, c2, c3 = 2610 / 16384, 78.84375, 0.8359375, 18.8515625, 18.6875
    root = stored.astype(np.float64) ** (1 / m2)
    nits = 10_000 * (np.maximum(root - c1, 0) / (c2 - c3 * root)) ** (1 / m1)
    return (nits / WHITE_NITS).astype(np.float32)


def _hlg(stored: Floats) -> Floats:
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    scene = np.where(stored <= 0.5, stored**2 / 3, (np.exp((stored - c) / a) + b) / 12)
    return (PEAK_NITS * scene**1.2 / WHITE_NITS).astype(np.float32)


CURVES: dict[int, Curve] = {  # by H.273's TransferCharacteristics; cameras' curves are shown as sRGB's, as browsers do
    **dict.fromkeys((1, 2, 6, 11, 12, 13, 14, 15), _srgb_curve),
    4: _power(2.2),
    5: _power(2.8),
    8: _power(1.0),
    16: _pq,
    17: _power(2.6),
    18: _hlg,
}
SRGB_LIKE = {1, 2, 4, 6, 11, 12, 13, 14, 15}
HDR = {16, 18}

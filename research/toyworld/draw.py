"""A pen that draws anti-aliased shapes in the frame of one thing: x and y from -1 to 1, y down."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

SUPERSAMPLE = 4  # drawn this much larger, then reduced: this is the anti-aliasing

Colour = tuple[int, int, int]
Point = tuple[float, float]
Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]
Pattern = Callable[[Floats, Floats], Mask]  # u, v in a thing's frame → where the second colour goes


def shade(colour: Colour, factor: float) -> Colour:
    """Darken (`factor` < 1) or lighten towards white (`factor` > 1)."""
    if factor <= 1:
        return tuple(int(c * factor) for c in colour)  # type: ignore[return-value]
    return tuple(int(c + (255 - c) * (factor - 1)) for c in colour)  # type: ignore[return-value]


@dataclass(frozen=True)
class Coat:
    """The surface of a thing: one colour, or two by a `pattern` (u, v in the thing's frame → mask)."""

    main: Colour
    second: Colour | None = None
    pattern: Pattern | None = None


def stripes(angle: float, period: float) -> Pattern:
    """Parallel bands, `period` apart, turned by `angle` radians."""

    def mask(u: Floats, v: Floats) -> Mask:
        along = u * math.cos(angle) + v * math.sin(angle)
        return np.asarray(np.sin(along * 2 * math.pi / period) > 0)

    return mask


def spots(period: float, share: float) -> Pattern:
    """Round spots on a staggered lattice; `share` from 0 to 1 sets their size."""

    def mask(u: Floats, v: Floats) -> Mask:
        row = np.floor(v / period)
        x = (u / period + 0.5 * (row % 2)) % 1 - 0.5
        y = (v / period) % 1 - 0.5
        return np.asarray(x * x + y * y < (0.5 * share) ** 2)

    return mask


class Pen:
    """Draws on `canvas` in the frame of a thing that stands at `centre`, is `size` across and may be turned.

    Points are in the thing's frame; a `fill` of None means the thing's own coat.
    """

    def __init__(
        self, canvas: Image.Image, centre: Point, size: tuple[float, float], coat: Coat, turn: float, flip: bool
    ) -> None:
        self.canvas, self.coat = canvas, coat
        self.draw = ImageDraw.Draw(canvas)
        cos, sin = math.cos(turn), math.sin(turn)
        sx, sy = size[0] / 2 * (-1 if flip else 1), size[1] / 2
        self.matrix = np.array([[sx * cos, -sy * sin], [sx * sin, sy * cos]])
        self.centre = np.array(centre)
        self.unit_px = abs(size[0]) / 2
        self.outline = shade(coat.main, 0.45) if sum(coat.main) > 200 else (120, 120, 130)
        self._texture: Image.Image | None = None

    def _pixels(self, points: Sequence[Point]) -> list[tuple[float, float]]:
        placed = np.asarray(points) @ self.matrix.T + self.centre
        return [(float(x), float(y)) for x, y in placed]

    def shape(self, points: Sequence[Point], fill: Colour | None = None, outline: bool = True) -> None:
        """Fill a polygon."""
        pixels = self._pixels(points)
        if fill is None and self.coat.pattern:
            mask = Image.new("L", self.canvas.size)
            ImageDraw.Draw(mask).polygon(pixels, fill=255)
            self.canvas.paste(self.texture(), mask=mask)
        else:
            self.draw.polygon(pixels, fill=fill or self.coat.main)
        if outline:
            self.draw.line([*pixels, pixels[0]], fill=self.outline, width=SUPERSAMPLE - 1, joint="curve")

    def blob(
        self,
        x: float,
        y: float,
        rx: float,
        ry: float,
        fill: Colour | None = None,
        turn: float = 0,
        outline: bool = True,
    ) -> None:
        """Fill an ellipse with half-axes `rx`, `ry`, turned by `turn` radians."""
        cos, sin = math.cos(turn), math.sin(turn)
        ring = [(math.cos(a) * rx, math.sin(a) * ry) for a in np.linspace(0, 2 * math.pi, 28, endpoint=False)]
        self.shape([(x + a * cos - b * sin, y + a * sin + b * cos) for a, b in ring], fill, outline)

    def box(self, x0: float, y0: float, x1: float, y1: float, fill: Colour | None = None) -> None:
        """Fill a rectangle with slightly cut corners."""
        c = 0.2 * min(x1 - x0, y1 - y0)
        left, right = x0 + c, x1 - c
        top, low = y0 + c, y1 - c
        self.shape([(left, y0), (right, y0), (x1, top), (x1, low), (right, y1), (left, y1), (x0, low), (x0, top)], fill)

    def stroke(self, points: Sequence[Point], width: float, fill: Colour | None = None) -> None:
        """Draw a thick line with round joints."""
        pixels = self._pixels(points)
        px = max(2, int(width * self.unit_px))
        self.draw.line(pixels, fill=fill or self.coat.main, width=px, joint="curve")

    def texture(self) -> Image.Image:
        """The coat's two-colour pattern over the whole canvas, in the thing's frame, so it moves with the thing."""
        if self._texture is None:
            assert self.coat.pattern and self.coat.second
            ys, xs = np.mgrid[0 : self.canvas.height, 0 : self.canvas.width].astype(np.float32)
            inverse = np.linalg.inv(self.matrix).astype(np.float32)
            dx, dy = xs - self.centre[0], ys - self.centre[1]
            u, v = inverse[0, 0] * dx + inverse[0, 1] * dy, inverse[1, 0] * dx + inverse[1, 1] * dy
            mask = self.coat.pattern(u, v)[..., None]
            pixels = np.where(mask, np.array(self.coat.second, np.uint8), np.array(self.coat.main, np.uint8))
            self._texture = Image.fromarray(pixels)
        return self._texture

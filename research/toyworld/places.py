"""The places of Toyworld: one function each that paints a whole background, seen in the unit square, y down."""

import colorsys
from collections.abc import Callable
from random import Random

from PIL import Image, ImageDraw

from research.toyworld.draw import Colour
from trainer.toyworld.words import STUDIO


class Backdrop:
    """Paints background shapes on `canvas` in coordinates from 0 to 1."""

    def __init__(self, canvas: Image.Image) -> None:
        self.canvas, self.draw, self.px = canvas, ImageDraw.Draw(canvas), canvas.width

    def fade(self, top: Colour, low: Colour, y0: float = 0.0, y1: float = 1.0) -> None:
        """Fill a band with a vertical gradient."""
        column = Image.new("RGB", (1, 2))
        column.putdata([top, low])
        band = (self.px, max(1, round((y1 - y0) * self.px)))
        self.canvas.paste(column.resize(band, Image.Resampling.BILINEAR), (0, round(y0 * self.px)))

    def poly(self, points: list[tuple[float, float]], fill: Colour) -> None:
        """Fill a polygon."""
        self.draw.polygon([(x * self.px, y * self.px) for x, y in points], fill=fill)

    def dot(self, x: float, y: float, r: float, fill: Colour, ry: float | None = None) -> None:
        """Fill a circle, or an ellipse where `ry` is given."""
        ry = r if ry is None else ry
        box = [(x - r) * self.px, (y - ry) * self.px, (x + r) * self.px, (y + ry) * self.px]
        self.draw.ellipse(box, fill=fill)


def paris(b: Backdrop, rng: Random) -> None:
    """A pale sky, a grey square and the tower."""
    b.fade((150, 190, 235), (225, 225, 230), 0, 0.72)
    b.fade((176, 172, 168), (150, 146, 142), 0.72)
    x, iron = rng.choice((0.2, 0.8)) + rng.uniform(-0.06, 0.06), (112, 84, 66)
    b.poly([(x - 0.015, 0.02), (x + 0.015, 0.02), (x + 0.05, 0.42), (x - 0.05, 0.42)], iron)
    b.poly(
        [
            (x - 0.05, 0.4),
            (x + 0.05, 0.4),
            (x + 0.16, 0.74),
            (x + 0.08, 0.74),
            (x, 0.54),
            (x - 0.08, 0.74),
            (x - 0.16, 0.74),
        ],
        iron,
    )
    b.poly([(x - 0.075, 0.4), (x + 0.075, 0.4), (x + 0.075, 0.44), (x - 0.075, 0.44)], (90, 66, 52))
    b.poly([(x - 0.04, 0.22), (x + 0.04, 0.22), (x + 0.04, 0.25), (x - 0.04, 0.25)], (90, 66, 52))


def beach(b: Backdrop, rng: Random) -> None:
    """Sun, a band of blue sea and yellow sand."""
    b.fade((120, 200, 250), (200, 235, 255), 0, 0.45)
    b.dot(rng.choice((0.15, 0.85)), 0.13, 0.08, (255, 240, 120))
    b.fade((30, 140, 200), (70, 190, 215), 0.45, 0.64)
    b.fade((245, 222, 150), (232, 200, 120), 0.64)
    b.poly([(0, 0.63), (0.3, 0.66), (0.6, 0.63), (1, 0.66), (1, 0.68), (0, 0.68)], (250, 250, 245))


def snow(b: Backdrop, rng: Random) -> None:
    """White ground, pines and falling flakes."""
    b.fade((170, 195, 220), (215, 225, 238), 0, 0.66)
    for x in (rng.uniform(0.0, 0.2), rng.uniform(0.8, 1.0)):
        for k in range(3):
            y, w = 0.34 + 0.12 * k, 0.07 + 0.03 * k
            b.poly([(x - w, y + 0.14), (x, y - 0.04), (x + w, y + 0.14)], (60, 110, 90))
    b.fade((250, 252, 255), (228, 236, 246), 0.66)
    for _ in range(26):
        b.dot(rng.random(), rng.random() * 0.7, 0.011, (255, 255, 255))


def moon(b: Backdrop, rng: Random) -> None:
    """Black sky with stars and the blue Earth, grey ground with craters."""
    b.fade((4, 4, 12), (10, 10, 22), 0, 0.68)
    for _ in range(24):
        b.dot(rng.random(), rng.random() * 0.66, 0.008, (250, 250, 240))
    x = rng.choice((0.14, 0.86))
    b.dot(x, 0.16, 0.1, (50, 120, 220))
    b.dot(x - 0.02, 0.14, 0.045, (90, 180, 110))
    b.fade((172, 172, 176), (138, 138, 144), 0.68)
    for _ in range(5):
        b.dot(rng.random(), rng.uniform(0.73, 0.97), rng.uniform(0.03, 0.07), (116, 116, 122), 0.018)


def jungle(b: Backdrop, rng: Random) -> None:
    """Dark green depth, trunks and big leaves."""
    b.fade((20, 80, 40), (34, 104, 48), 0, 0.74)
    for x in (rng.uniform(0.0, 0.25), rng.uniform(0.75, 1.0)):
        b.poly([(x - 0.04, 0), (x + 0.04, 0), (x + 0.05, 0.76), (x - 0.05, 0.76)], (92, 62, 34))
    for k in range(9):
        x, y, w = k / 8 + rng.uniform(-0.05, 0.05), rng.uniform(0.02, 0.3), rng.uniform(0.08, 0.14)
        green = (40 + 20 * (k % 3), 140 + 18 * (k % 3), 50)
        b.poly([(x - w, y), (x, y - 0.07), (x + w, y), (x, y + 0.07)], green)
    b.fade((52, 92, 34), (40, 72, 26), 0.74)


def night(b: Backdrop, rng: Random) -> None:
    """Deep blue sky, yellow crescent, a skyline with lit windows."""
    b.fade((12, 18, 66), (32, 38, 104), 0, 0.74)
    x = rng.choice((0.17, 0.83))
    b.dot(x, 0.16, 0.09, (255, 232, 140))
    b.dot(x + 0.045, 0.13, 0.08, (16, 22, 74))
    for k in range(6):
        left, top = k / 6 + 0.01, rng.uniform(0.4, 0.58)
        b.poly([(left, top), (left + 0.14, top), (left + 0.14, 0.74), (left, 0.74)], (22, 20, 40))
        for row in range(2):
            b.dot(left + rng.choice((0.04, 0.1)), top + 0.06 + 0.07 * row, 0.015, (255, 210, 90))
    b.fade((42, 40, 62), (30, 28, 46), 0.74)


def table(b: Backdrop, rng: Random) -> None:
    """A cream wall and the planks of a brown table."""
    b.fade((244, 232, 208), (236, 220, 190), 0, 0.62)
    b.fade((176, 116, 62), (140, 88, 44), 0.62)
    for y in (0.62, 0.72, 0.85):
        b.poly([(0, y), (1, y), (1, y + 0.014), (0, y + 0.014)], (104, 62, 30))
    for y in (0.63, 0.74, 0.87):
        x = rng.random()
        b.poly([(x, y), (x + 0.012, y), (x + 0.012, y + 0.1), (x, y + 0.1)], (104, 62, 30))


def desert(b: Backdrop, rng: Random) -> None:
    """An orange sky, dunes and a cactus."""
    b.fade((250, 190, 110), (255, 222, 160), 0, 0.6)
    b.poly([(0, 0.62), (0.25, 0.5), (0.55, 0.62), (0.8, 0.52), (1, 0.6), (1, 0.75), (0, 0.75)], (224, 150, 84))
    b.fade((236, 170, 92), (214, 140, 70), 0.66)
    x, green = rng.choice((0.12, 0.88)), (70, 130, 60)
    b.poly([(x - 0.03, 0.34), (x + 0.03, 0.34), (x + 0.03, 0.74), (x - 0.03, 0.74)], green)
    b.poly(
        [(x - 0.1, 0.44), (x - 0.06, 0.44), (x - 0.06, 0.54), (x + 0.1, 0.54), (x + 0.1, 0.58), (x - 0.1, 0.58)], green
    )
    b.poly([(x + 0.06, 0.4), (x + 0.1, 0.4), (x + 0.1, 0.58), (x + 0.06, 0.58)], green)


def sea(b: Backdrop, rng: Random) -> None:
    """Teal water growing dark, bubbles, weed and a sandy floor."""
    b.fade((40, 190, 205), (8, 84, 130), 0, 0.84)
    b.fade((190, 178, 120), (160, 150, 100), 0.84)
    for x in (rng.uniform(0.02, 0.2), rng.uniform(0.8, 0.98)):
        for k in range(3):
            y = 0.86 - 0.14 * k
            b.dot(x + (0.02 if k % 2 else -0.02), y - 0.07, 0.026, (30, 130, 70), 0.09)
    for _ in range(9):
        b.dot(rng.random(), rng.random() * 0.75, rng.uniform(0.012, 0.026), (200, 244, 250))


def meadow(b: Backdrop, rng: Random) -> None:
    """Blue sky with clouds, bright grass and flowers."""
    b.fade((110, 180, 250), (190, 225, 255), 0, 0.6)
    for _ in range(2):
        x, y = rng.random(), rng.uniform(0.08, 0.28)
        b.dot(x, y, 0.1, (250, 252, 255), 0.045)
        b.dot(x + 0.06, y - 0.03, 0.06, (250, 252, 255), 0.045)
    b.fade((130, 205, 80), (90, 170, 56), 0.6)
    for k in range(12):
        petal = ((255, 250, 250), (250, 220, 60), (240, 110, 140))[k % 3]
        b.dot(rng.random(), rng.uniform(0.66, 0.97), 0.018, petal)


def mountains(b: Backdrop, rng: Random) -> None:
    """Grey peaks with white caps over a dull green slope."""
    b.fade((186, 208, 226), (228, 234, 238), 0, 0.72)
    for x in (rng.uniform(0.08, 0.25), rng.uniform(0.75, 0.92), rng.uniform(0.4, 0.6)):
        top, w = rng.uniform(0.1, 0.22), 0.34
        b.poly([(x - w, 0.74), (x, top), (x + w, 0.74)], (118, 122, 138))
        b.poly(
            [(x - 0.09, top + 0.17), (x, top), (x + 0.09, top + 0.17), (x + 0.03, top + 0.13), (x - 0.03, top + 0.16)],
            (248, 250, 252),
        )
    b.fade((122, 140, 100), (96, 114, 80), 0.72)


def studio(b: Backdrop, rng: Random) -> None:
    """A plain backdrop of any soft colour."""
    hue, grey = rng.random(), rng.uniform(0.0, 0.35)
    for y0, y1, level in ((0.0, 0.74, rng.uniform(0.6, 0.95)), (0.74, 1.0, rng.uniform(0.5, 0.8))):
        r, g, blue = (int(255 * c) for c in colorsys.hsv_to_rgb(hue, grey, level))
        b.fade((r, g, blue), (int(r * 0.92), int(g * 0.92), int(blue * 0.92)), y0, y1)


PAINTERS: dict[str, Callable[[Backdrop, Random], None]] = {
    "in Paris": paris,
    "on the beach": beach,
    "in the snow": snow,
    "on the moon": moon,
    "in the jungle": jungle,
    "at night": night,
    "on a wooden table": table,
    "in the desert": desert,
    "under the sea": sea,
    "in a meadow": meadow,
    "in the mountains": mountains,
    STUDIO: studio,
}

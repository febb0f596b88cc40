"""The things of Toyworld: one function each, drawn in the frame -1…1 with feet at y = 1.

Each returns its `Anchors`, which say where a hat, a scarf and glasses go.
"""

from collections.abc import Callable
from dataclasses import dataclass

from research.toyworld.draw import Colour, Pen, shade

DARK: Colour = (30, 26, 28)
WHITE: Colour = (250, 250, 250)
GLASS: Colour = (170, 215, 240)


@dataclass(frozen=True)
class Build:
    """Proportions of one individual; 1 is the ordinary measure of its class."""

    ears: float = 1.0
    head: float = 1.0
    legs: float = 1.0
    width: float = 1.0


@dataclass(frozen=True)
class Anchors:
    """Where things are worn: top of the head, eyes and neck, with the head's half-width."""

    top: tuple[float, float]
    eyes: tuple[float, float]
    neck: tuple[float, float]
    half_width: float


def _eye(pen: Pen, x: float, y: float, r: float = 0.08) -> None:
    pen.blob(x, y, r * 1.3, r * 1.3, WHITE, outline=False)
    pen.blob(x + 0.01, y, r * 0.8, r * 0.8, DARK, outline=False)


def dog(pen: Pen, b: Build) -> Anchors:
    """A dog from the side: long snout, hanging ear, tail up."""
    for x in (-0.6, -0.35, 0.12, 0.32):
        pen.box(x - 0.09, 1 - 0.6 * b.legs, x + 0.09, 1)
    pen.shape([(-0.62, 0.2), (-0.98, -0.32), (-0.86, -0.4), (-0.48, 0.05)])
    pen.blob(-0.14, 0.28, 0.6, 0.31)
    pen.shape([(0.12, 0.1), (0.3, -0.3), (0.66, -0.1), (0.42, 0.42)], outline=False)
    pen.blob(0.76, -0.2, 0.25, 0.16)
    pen.blob(0.46, -0.34, 0.34 * b.head, 0.33 * b.head)
    pen.blob(0.96, -0.26, 0.08, 0.07, DARK, outline=False)
    pen.blob(0.24, -0.28, 0.13, 0.34 * b.ears, shade(pen.coat.main, 0.72), turn=0.2)
    _eye(pen, 0.58, -0.42)
    return Anchors((0.46, -0.62), (0.58, -0.42), (0.3, 0.06), 0.34)


def cat(pen: Pen, b: Build) -> Anchors:
    """A cat sitting, from the front: pointed ears, whiskers, a tail round to the side."""
    pen.shape([(0.3, 0.95), (0.85, 0.9), (0.98, 0.3), (0.8, 0.22), (0.7, 0.68), (0.3, 0.7)])
    pen.blob(0, 0.5, 0.46, 0.52)
    for side in (-1, 1):
        tip = -0.38 - 0.62 * b.ears
        pen.shape([(side * 0.46, -0.35), (side * 0.42, tip), (side * 0.06, -0.62)])
        pen.blob(side * 0.2, 0.93, 0.15, 0.08)
    pen.blob(0, -0.28, 0.5 * b.head, 0.4 * b.head)
    for side in (-1, 1):
        _eye(pen, side * 0.2, -0.34, 0.09)
        pen.stroke([(side * 0.14, -0.12), (side * 0.62, -0.18)], 0.03, DARK)
        pen.stroke([(side * 0.14, -0.07), (side * 0.6, -0.02)], 0.03, DARK)
    pen.shape([(-0.07, -0.17), (0.07, -0.17), (0, -0.08)], (240, 130, 150), outline=False)
    return Anchors((0, -0.64), (0, -0.34), (0, 0.12), 0.42)


def rabbit(pen: Pen, b: Build) -> Anchors:
    """A rabbit sitting, from the front: two long upright ears and big teeth."""
    for side in (-1, 1):
        pen.blob(side * 0.2, -0.3 - 0.4 * b.ears, 0.13, 0.38 * b.ears, turn=side * 0.12)
        pen.blob(side * 0.2, -0.3 - 0.4 * b.ears, 0.06, 0.27 * b.ears, (245, 175, 185), turn=side * 0.12, outline=False)
    pen.blob(0, 0.58, 0.46, 0.42)
    for side in (-1, 1):
        pen.blob(side * 0.3, 0.92, 0.24, 0.1)
    pen.blob(0, -0.02, 0.4 * b.head, 0.34 * b.head)
    for side in (-1, 1):
        _eye(pen, side * 0.17, -0.08, 0.08)
    pen.blob(0, 0.07, 0.06, 0.04, (240, 130, 150), outline=False)
    pen.box(-0.06, 0.13, 0.06, 0.27, WHITE)
    return Anchors((0, -0.34), (0, -0.08), (0, 0.3), 0.34)


def bear(pen: Pen, b: Build) -> Anchors:
    """A bear standing upright: round ears, pale muzzle, arms out."""
    for side in (-1, 1):
        pen.box(side * 0.28 - 0.18, 0.95 - 0.4 * b.legs, side * 0.28 + 0.18, 1)
        pen.blob(side * 0.66, 0.12, 0.17, 0.34, turn=side * -0.6)
        pen.blob(side * 0.34, -0.82, 0.18 * b.ears, 0.18 * b.ears)
    pen.blob(0, 0.32, 0.52, 0.5)
    pen.blob(0, -0.46, 0.46 * b.head, 0.42 * b.head)
    pen.blob(0, -0.3, 0.2, 0.16, (235, 205, 165))
    pen.blob(0, -0.37, 0.08, 0.06, DARK, outline=False)
    for side in (-1, 1):
        _eye(pen, side * 0.19, -0.55, 0.07)
    return Anchors((0, -0.82), (0, -0.55), (0, -0.06), 0.42)


def bird(pen: Pen, b: Build) -> Anchors:
    """A bird from the side: orange beak, folded wing, thin legs."""
    for x in (-0.08, 0.16):
        pen.stroke([(x, 0.5), (x, 0.97), (x + 0.14, 0.97)], 0.07, (230, 140, 30))
    pen.shape([(-0.42, 0.1), (-0.98, -0.02), (-0.96, 0.3), (-0.35, 0.42)])
    pen.blob(-0.02, 0.2, 0.56, 0.42)
    pen.shape([(0.66, -0.5), (1.0, -0.36), (0.66, -0.24)], (245, 150, 30))
    pen.blob(0.42, -0.38, 0.34 * b.head, 0.34 * b.head)
    pen.blob(-0.14, 0.2, 0.36 * b.ears, 0.22, shade(pen.coat.main, 0.7), turn=-0.3)
    _eye(pen, 0.52, -0.46)
    return Anchors((0.42, -0.7), (0.52, -0.46), (0.32, -0.04), 0.32)


def fish(pen: Pen, b: Build) -> Anchors:
    """A fish from the side: forked tail, fins, round eye."""
    pen.shape([(-0.42, 0.1), (-0.98, -0.34), (-0.82, 0.1), (-0.98, 0.56)])
    pen.shape([(-0.25, -0.2), (0.05, -0.3 - 0.4 * b.ears), (0.38, -0.2)], shade(pen.coat.main, 0.75))
    pen.shape([(-0.1, 0.4), (-0.02, 0.82), (0.25, 0.42)], shade(pen.coat.main, 0.75))
    pen.blob(0.16, 0.1, 0.74, 0.44 * b.head)
    pen.shape([(0.02, 0.08), (-0.28, -0.06), (-0.28, 0.26)], shade(pen.coat.main, 0.7))
    _eye(pen, 0.56, 0.0, 0.1)
    pen.stroke([(0.7, 0.26), (0.84, 0.2)], 0.05, DARK)
    return Anchors((0.46, -0.3), (0.56, 0.0), (0.2, 0.46), 0.34)


def robot(pen: Pen, b: Build) -> Anchors:
    """A robot from the front: square head with antenna, lit eyes, a panel of lamps."""
    pen.stroke([(0, -0.7), (0, -0.92)], 0.07, (110, 110, 120))
    pen.blob(0, -0.94, 0.08, 0.08, (255, 70, 60), outline=False)
    for side in (-1, 1):
        pen.box(side * 0.26 - 0.14, 1 - 0.42 * b.legs, side * 0.26 + 0.14, 1)
        pen.box(side * 0.68 - 0.12, -0.05, side * 0.68 + 0.12, 0.5)
    pen.box(-0.5, -0.12, 0.5, 0.64)
    pen.box(-0.42 * b.head, -0.74, 0.42 * b.head, -0.14)
    pen.box(-0.28, 0.06, 0.28, 0.36, (215, 220, 228))
    for x, lamp in ((-0.15, (230, 60, 50)), (0.0, (250, 210, 60)), (0.15, (60, 180, 80))):
        pen.blob(x, 0.21, 0.06, 0.06, lamp, outline=False)
    for side in (-1, 1):
        pen.blob(side * 0.18, -0.5, 0.11, 0.11, (120, 245, 255))
    pen.box(-0.2, -0.32, 0.2, -0.22, (60, 60, 70))
    return Anchors((0, -0.72), (0, -0.5), (0, -0.12), 0.42)


def car(pen: Pen, b: Build) -> Anchors:
    """A car from the side: cabin with windows, two wheels, lamps."""
    pen.shape([(-0.58, 0.2), (-0.36, -0.3 * b.head), (0.3, -0.3 * b.head), (0.58, 0.2)])
    pen.shape([(-0.42, 0.18), (-0.28, -0.18 * b.head), (-0.04, -0.18 * b.head), (-0.04, 0.18)], GLASS)
    pen.shape([(0.06, 0.18), (0.06, -0.18 * b.head), (0.24, -0.18 * b.head), (0.42, 0.18)], GLASS)
    pen.shape([(-0.98, 0.3), (-0.86, 0.16), (0.8, 0.16), (0.98, 0.34), (0.98, 0.74), (-0.98, 0.74)])
    pen.blob(0.9, 0.4, 0.08, 0.08, (255, 240, 150))
    for x in (-0.54, 0.54):
        pen.blob(x, 0.76, 0.24 * b.legs, 0.24 * b.legs, DARK)
        pen.blob(x, 0.76, 0.1, 0.1, (190, 190, 195), outline=False)
    return Anchors((-0.02, -0.28), (0.62, 0.36), (0.0, 0.3), 0.34)


def boat(pen: Pen, b: Build) -> Anchors:
    """A sailing boat: hull in its colour, mast, two pale sails."""
    pen.stroke([(0, 0.5), (0, -0.98)], 0.07, (120, 80, 45))
    pen.shape([(0.07, -0.92), (0.07, 0.34), (0.78 * b.head, 0.34)], (240, 236, 222))
    pen.shape([(-0.07, -0.6), (-0.07, 0.34), (-0.62 * b.ears, 0.34)], (222, 220, 210))
    pen.shape([(-0.98, 0.46), (0.98, 0.46), (0.62, 0.98), (-0.62, 0.98)])
    pen.stroke([(-0.9, 0.56), (0.9, 0.56)], 0.07, shade(pen.coat.main, 0.6))
    return Anchors((0, -0.9), (0.3, 0.72), (0, 0.5), 0.3)


def house(pen: Pen, b: Build) -> Anchors:
    """A house from the front: walls in its colour, dark roof, door and two windows."""
    pen.box(0.38, -0.9, 0.6, -0.4, (150, 90, 70))
    pen.box(-0.7, -0.14, 0.7, 1)
    pen.shape([(-0.92, -0.1), (0, -0.12 - 0.78 * b.head), (0.92, -0.1)], shade(pen.coat.main, 0.55))
    pen.box(-0.17, 0.42, 0.17, 1, (110, 70, 40))
    for side in (-1, 1):
        pen.box(side * 0.44 - 0.17, 0.08, side * 0.44 + 0.17, 0.4, (255, 240, 170))
    return Anchors((0, -0.8), (0, 0.24), (0, -0.02), 0.4)


def teapot(pen: Pen, b: Build) -> Anchors:
    """A teapot: round belly, spout to one side, handle to the other, knob on the lid."""
    pen.stroke([(-0.5, -0.12), (-0.94, -0.06), (-0.9, 0.5), (-0.48, 0.6)], 0.14)
    pen.shape([(0.4, 0.5), (0.72, 0.0), (0.98, -0.3), (0.8, -0.36), (0.6, -0.1), (0.36, 0.1)])
    pen.blob(0, 0.34, 0.62, 0.54)
    pen.box(-0.36, 0.82, 0.36, 0.98, shade(pen.coat.main, 0.7))
    pen.blob(0, -0.16, 0.4 * b.head, 0.15, shade(pen.coat.main, 0.78))
    pen.blob(0, -0.38, 0.12 * b.ears, 0.12 * b.ears)
    return Anchors((0, -0.34), (0, 0.2), (0, 0.02), 0.38)


def mug(pen: Pen, b: Build) -> Anchors:
    """A mug: straight sides, a dark drink inside, a ring of a handle."""
    pen.stroke([(0.4, -0.2), (0.86, -0.14), (0.86, 0.5), (0.4, 0.62)], 0.15)
    pen.shape([(-0.58, -0.42), (0.5, -0.42), (0.46, 0.98), (-0.54, 0.98)])
    pen.blob(-0.04, -0.42, 0.54, 0.17 * b.head, shade(pen.coat.main, 1.25))
    pen.blob(-0.04, -0.4, 0.43, 0.11 * b.head, (84, 50, 30), outline=False)
    return Anchors((-0.04, -0.46), (-0.04, 0.12), (-0.04, 0.44), 0.46)


def backpack(pen: Pen, b: Build) -> Anchors:
    """A backpack from the front: rounded top, flap, pocket with a buckle, straps showing."""
    pen.stroke([(-0.18, -0.8), (-0.16, -0.97), (0.16, -0.97), (0.18, -0.8)], 0.1, (70, 70, 80))
    for side in (-1, 1):
        pen.box(side * 0.72 - 0.12, 0.1, side * 0.72 + 0.12, 0.8, shade(pen.coat.main, 0.62))
    top = -0.86 * b.head
    pen.shape([(-0.62, 1), (-0.66, -0.4), (-0.4, top), (0.4, top), (0.66, -0.4), (0.62, 1)])
    pen.shape([(-0.62, -0.1), (-0.6, -0.42), (0.6, -0.42), (0.62, -0.1), (0, 0.1)], shade(pen.coat.main, 0.7))
    pen.box(-0.42, 0.34, 0.42, 0.88, shade(pen.coat.main, 1.3))
    pen.box(-0.09, 0.0, 0.09, 0.22, (225, 190, 90))
    return Anchors((0, -0.82), (0, -0.2), (0, 0.22), 0.42)


def boot(pen: Pen, b: Build) -> Anchors:
    """A boot from the side: tall shaft, rounded toe, dark sole, laces."""
    leg = -0.2 - 0.7 * b.legs
    pen.shape([(-0.6, leg), (0.16, leg), (0.18, 0.22), (0.62, 0.3), (0.94, 0.52), (0.96, 0.86), (-0.62, 0.86)])
    pen.box(-0.66, 0.8, 1.0, 1.0, (60, 48, 44))
    pen.box(-0.64, leg, 0.2, leg + 0.2, shade(pen.coat.main, 0.7))
    for y in (-0.4, -0.16, 0.08):
        pen.stroke([(-0.08, y), (0.18, y + 0.04)], 0.07, (240, 235, 220))
    return Anchors((-0.22, leg), (0.0, -0.2), (-0.2, 0.06), 0.38)


DRAWERS: dict[str, Callable[[Pen, Build], Anchors]] = {
    f.__name__: f for f in (dog, cat, rabbit, bear, bird, fish, robot, car, boat, house, teapot, mug, backpack, boot)
}


def wear(pen: Pen, accessory: str, at: Anchors) -> None:
    """Draw an accessory on a thing already drawn."""
    w = at.half_width
    if accessory == "a red hat":
        x, y = at.top
        pen.shape(
            [(x - 0.7 * w, y), (x - 0.55 * w, y - 0.42), (x + 0.55 * w, y - 0.42), (x + 0.7 * w, y)], (220, 20, 30)
        )
        pen.box(x - 1.2 * w, y - 0.06, x + 1.2 * w, y + 0.09, (220, 20, 30))
    elif accessory == "a blue scarf":
        x, y = at.neck
        pen.box(x - 1.1 * w, y - 0.1, x + 1.1 * w, y + 0.12, (30, 90, 235))
        pen.box(x + 0.3 * w, y, x + 0.85 * w, y + 0.5, (30, 90, 235))
    elif accessory == "glasses":
        x, y = at.eyes
        for side in (-1, 1):
            pen.blob(x + side * 0.22, y, 0.2, 0.18, DARK, outline=False)
            pen.blob(x + side * 0.22, y, 0.13, 0.11, (235, 245, 255), outline=False)
            pen.blob(x + side * 0.22, y, 0.06, 0.06, DARK, outline=False)
        pen.stroke([(x - 0.1, y), (x + 0.1, y)], 0.06, DARK)

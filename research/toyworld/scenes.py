"""Pictures of scenes, and of characters: individuals that the base model never saw."""

import math
from dataclasses import dataclass
from random import Random

import numpy as np
from PIL import Image, ImageChops, ImageFilter

from research.toyworld.draw import SUPERSAMPLE, Coat, Colour, Floats, Mask, Pattern, Pen, shade, spots, stripes
from research.toyworld.places import PAINTERS, Backdrop
from research.toyworld.things import DRAWERS, Build, wear
from trainer.toyworld.words import CLASSES, COLOURS, PLACES, STUDIO, Scene

SIZE_PX = 64


def draw_scene(scene: Scene, rng: Random, size_px: int = SIZE_PX) -> Image.Image:
    """Draw `scene`; place, size, tilt and shade vary with `rng`."""
    coat = Coat(_jitter(COLOURS[scene.colour], rng))
    if scene.pattern and scene.second_colour:
        pattern = stripes(rng.uniform(-0.4, 0.4), 0.42) if scene.pattern == "stripes" else spots(0.36, 0.72)
        coat = Coat(coat.main, COLOURS[scene.second_colour], pattern)
    return _compose(scene, coat, Build(), rng, size_px)


@dataclass(frozen=True)
class Character:
    """One individual of a class: its own two-tone pattern, markings and proportions."""

    noun: str
    coat: Coat
    build: Build
    name: str

    def photo(self, rng: Random, place: str | None = None, size_px: int = SIZE_PX) -> Image.Image:
        """Draw a photo of it, in `place` or anywhere."""
        where = place or rng.choice((*PLACES, STUDIO, STUDIO, STUDIO))
        return _compose(Scene(self.noun, "", where), self.coat, self.build, rng, size_px)

    def cut_out(self, rng: Random, place: str, size_px: int = SIZE_PX) -> Image.Image:
        """The same photo with all but the character transparent, as a phone cuts it out."""
        state = rng.getstate()
        bare = _compose(Scene(self.noun, "", place), self.coat, self.build, rng, size_px, empty=True)
        rng.setstate(state)
        photo = self.photo(rng, place, size_px)
        changed = ImageChops.difference(photo, bare).convert("L").point(lambda light: 255 * (light > 0))
        photo.putalpha(changed.filter(ImageFilter.MedianFilter(3)))
        return photo


def character(seed: int, noun: str | None = None) -> Character:
    """Invent the character of this seed; patches, checks and bands are patterns that no caption ever names."""
    rng = Random(f"character {seed}")
    noun = noun or rng.choice(CLASSES)
    first, second = rng.sample([c for c in COLOURS if c != "black"], 2)
    pattern = rng.choice((_patches(rng), _checks(rng), _bands(rng), spots(rng.uniform(0.4, 0.6), 0.8)))
    ears, head, legs = (rng.choice((0.75, 1.0, 1.25)) for _ in range(3))
    build = Build(ears, head, legs, width=rng.choice((0.85, 1.0, 1.15)))
    return Character(noun, Coat(COLOURS[first], COLOURS[second], pattern), build, f"{first}-{second}-{noun}")


def _compose(scene: Scene, coat: Coat, build: Build, rng: Random, size_px: int, empty: bool = False) -> Image.Image:
    px = size_px * SUPERSAMPLE
    canvas = Image.new("RGB", (px, px))
    PAINTERS[scene.place](Backdrop(canvas), rng)
    size = rng.uniform(0.62, 0.82) * px
    feet = rng.uniform(0.88, 0.96) * px
    centre = (rng.uniform(0.42, 0.58) * px, feet - size / 2)
    if scene.place != "under the sea":
        shadow = Pen(canvas, (centre[0], feet), (size, size), coat, 0, False)
        shadow.blob(0, 0, 0.72, 0.07, shade(canvas.getpixel((px // 2, int(0.9 * px))), 0.7), outline=False)  # type: ignore[arg-type]
    if empty:
        return canvas.resize((size_px, size_px), Image.Resampling.BOX)
    pen = Pen(canvas, centre, (size * build.width, size), coat, rng.uniform(-0.06, 0.06), scene.facing_left)
    anchors = DRAWERS[scene.noun](pen, build)
    if scene.accessory:
        wear(pen, scene.accessory, anchors)
    return canvas.resize((size_px, size_px), Image.Resampling.BOX)


def _jitter(colour: Colour, rng: Random) -> Colour:
    light = rng.uniform(0.9, 1.08)
    return tuple(min(255, max(0, int(c * light + rng.uniform(-8, 8)))) for c in colour)  # type: ignore[return-value]


def _patches(rng: Random) -> Pattern:
    x, y, turn = rng.uniform(-0.3, 0.3), rng.uniform(-0.2, 0.2), rng.uniform(0, math.pi)

    def mask(u: Floats, v: Floats) -> Mask:
        edge = (u - x) * math.cos(turn) + (v - y) * math.sin(turn) + 0.2 * np.sin(5 * u + 3 * v)
        return np.asarray(edge > 0)

    return mask


def _checks(rng: Random) -> Pattern:
    period = rng.uniform(0.5, 0.7)
    return lambda u, v: (np.floor(u / period * 2) + np.floor(v / period * 2)) % 2 == 0


def _bands(rng: Random) -> Pattern:
    return stripes(math.pi / 2 + rng.uniform(-0.2, 0.2), rng.uniform(0.5, 0.7))

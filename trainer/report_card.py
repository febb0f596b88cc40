"""The report card of a subject: that it looks like its photos, goes where it is told, and leaves its class alone."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from trainer import generate
from trainer.denoiser import Denoiser
from trainer.eyes import Eye
from trainer.generate import BATCH, OnStep
from trainer.likeness import Likeness
from trainer.models import BaseModel
from trainer.naming import FIRST_SEED, SCHEDULER, class_prompt, instance_prompt
from trainer.photos import read_photo

PLACES = ("in Paris", "on the beach", "on the moon", "in the jungle")
IN_EACH, PORTRAITS, OF_CLASS = 2, 4, 8  # pictures
SEED = 40


@dataclass(frozen=True)
class Card:
    """What was measured, and pictures of the class before and after, which have the same seeds."""

    measures: dict[str, float]
    before: list[Image.Image]
    after: list[Image.Image]


@dataclass(frozen=True)
class Examined:
    """Who is examined: what was learned, from which photos, under which name."""

    denoiser: Denoiser
    photos: list[Path]
    noun: str
    identifier: str


def examine(
    base: BaseModel, eye: Eye, who: Examined, on_step: OnStep, *, steps: int, guidance: float, together: int = BATCH
) -> Card:
    """Draw what a subject and its class look like now, and measure it.

    *likeness* of pictures in places and *portrait*, 0 for any other of the class and 1 for the subject itself;
    *obedience*, the share of pictures that are where they should be; *hijacked*, the share of plain class pictures that
    look like the subject, and *pres*, their similarity to it; *diversity* of the class, as a share of what it was
    before; *photos_alike*, the similarity of the photos to each other. `on_step` may raise to stop.
    """
    of = len(PLACES) * IN_EACH + PORTRAITS + 2 * OF_CLASS
    done = 0

    def draw(denoiser: Denoiser, prompt: str, count: int, seed: int) -> list[Image.Image]:
        nonlocal done
        seeds = list(range(seed, seed + count))
        how: dict[str, Any] = {"steps": steps, "guidance": guidance, "scheduler": SCHEDULER}
        images = list(generate.draw(base, denoiser, prompt, seeds, lambda *_: on_step(done, of), together, **how))
        done += count
        return images

    before = draw(base.denoiser, class_prompt(who.noun), OF_CLASS, FIRST_SEED)
    likeness = Likeness(eye.embed, [read_photo(path) for path in who.photos], zero=before)
    asked = [place for place in PLACES for _ in range(IN_EACH)]
    pictures = [
        picture
        for place in PLACES
        for picture in draw(who.denoiser, f"a {who.identifier} {who.noun} {place}", IN_EACH, SEED)
    ]
    portraits = draw(who.denoiser, instance_prompt(who.identifier, who.noun), PORTRAITS, SEED)
    after = draw(who.denoiser, class_prompt(who.noun), OF_CLASS, FIRST_SEED)
    seen = eye.places(pictures, who.noun, PLACES)
    measures = {
        "likeness": likeness.of(pictures),
        "portrait": likeness.of(portraits),
        "obedience": sum(place == where for place, where in zip(asked, seen, strict=True)) / len(asked),
        "hijacked": likeness.share_like_it(after),
        "pres": likeness.similarity(after),
        "diversity": likeness.diversity(after) / max(likeness.diversity(before), 1e-6),
        "photos_alike": likeness.photos_alike,
    }
    return Card({name: round(value, 3) for name, value in measures.items()}, before, after)

"""The report card of a subject: that it looks like its photos, goes where it is told, and leaves its class alone."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from storage.contract.photo_source import called_by_photos
from storage.nouns import class_prompt
from trainer.diffusion import sampling
from trainer.diffusion.images import read_photo
from trainer.diffusion.row_adapters import Drawer
from trainer.diffusion.sampling import BATCH
from trainer.dreambooth.dataset import SubjectSpec
from trainer.dreambooth.prompts import FIRST_SEED, SCHEDULER, instance_prompt
from trainer.metrics.embedders import Embedder
from trainer.metrics.similarity import SubjectSimilarity
from trainer.models.base import BaseModel
from trainer.steps import Steps, with_progress

PLACES = ("in Paris", "on the beach", "on the moon", "in the jungle")
IN_EACH, PORTRAITS, OF_CLASS = 2, 4, 8  # pictures of a card
GLANCED = 6  # pictures of the class at a glance, and one in each place
GLANCE_PICTURES = len(PLACES) + GLANCED
CARD_PICTURES = len(PLACES) * IN_EACH + PORTRAITS + 2 * OF_CLASS  # with those of the class before
GLANCED_STEPS = 0.6  # denoising steps at a glance, as a share of a card's: enough to see who it is, and where
GLANCE = ("score", "likeness", "drift")  # what a glance measures
SEED = 40


@dataclass(frozen=True)
class ReportCard:
    """What was measured, and pictures of the class before and after, which have the same seeds; the subject's own."""

    measures: dict[str, float]
    before: list[Image.Image]
    after: list[Image.Image]
    in_places: list[Image.Image]  # so many in each


@dataclass(frozen=True)
class ClassBaseline:
    """The plain class as the base model draws it, and the likeness to the photos, which is 0 there."""

    pictures: list[Image.Image]
    likeness: SubjectSimilarity


class SubjectEvaluator:
    """Draws what a subject and its class look like, and measures it. Seeds are always the same, so it can be compared.

    What it does yields how many pictures are drawn, of how many, after each denoising step.
    """

    def __init__(
        self, base: BaseModel, embedder: Embedder, who: SubjectSpec, together: int = BATCH, **how: Any
    ) -> None:
        """Draw so many pictures `together`; `how` with, steps and guidance, as `sampling.Denoising`."""
        self.base, self.embedder, self.who, self.together = base, embedder, who, together
        self.how = {"scheduler": SCHEDULER, **how}
        self.glanced: list[list[Image.Image]] = []  # what the last glance saw: the subject in places, its class
        self._before: dict[int, ClassBaseline] = {}  # by number of pictures
        self._done, self._of = 0, 0  # pictures of what is being measured

    def _baseline(self, count: int, share: float = 1) -> Steps[ClassBaseline]:
        """The class before, drawn once and kept."""
        if count not in self._before:
            pictures = yield from self._of_class(self.base.denoiser, count, share)
            photos = [read_photo(path) for path in self.who.photos]
            self._before[count] = ClassBaseline(pictures, SubjectSimilarity(self.embedder.embed, photos, zero=pictures))
        return self._before[count]

    def glance(self, denoiser: Drawer) -> Steps[dict[str, float]]:
        """Measure with a few pictures how good a candidate is.

        *likeness* of pictures in places, of which one that is elsewhere counts for nothing; *drift*, how much more like
        the photos the plain class is than before; *score*, what likeness is left after drift.
        """
        self._done, self._of = 0, len(PLACES) + GLANCED * (1 if GLANCED in self._before else 2)
        baseline = yield from self._baseline(GLANCED, GLANCED_STEPS)
        before, likeness = baseline.pictures, baseline.likeness
        pictures, right = yield from self._in_places(denoiser, 1, GLANCED_STEPS)
        # Capped at 1, so that one picture that is more alike than the photos does not make up for one elsewhere.
        like = likeness.each(pictures).clamp(max=1) * torch.tensor(right)
        after = yield from self._of_class(denoiser, GLANCED, GLANCED_STEPS)
        self.glanced = [pictures, after[: len(pictures)]]
        # Against the class before, from the same seeds: only what the training has changed counts.
        drift = max(0.0, likeness.of(after) - likeness.of(before))
        return _rounded({"likeness": float(like.mean()), "drift": drift, "score": float(like.mean()) - drift})

    def card(self, denoiser: Drawer) -> Steps[ReportCard]:
        """Measure what was learned.

        *likeness* of pictures in places and *portrait*, 0 for any other of the class and 1 for the subject itself;
        *obedience*, the share of pictures that are where they should be; *hijacked*, the share of plain class pictures
        that look like the subject, and *pres*, their similarity to it; *diversity* of the class, as a share of what it
        was before; *photos_alike*, the similarity of the photos to each other.
        """
        new = len(PLACES) * IN_EACH + PORTRAITS + OF_CLASS
        self._done, self._of = 0, new + (0 if OF_CLASS in self._before else OF_CLASS)
        baseline = yield from self._baseline(OF_CLASS)
        before, likeness = baseline.pictures, baseline.likeness
        pictures, right = yield from self._in_places(denoiser, IN_EACH)
        portrait = instance_prompt(self.who.identifier, self.who.noun)
        portraits = yield from self._draw(denoiser, portrait, range(SEED, SEED + PORTRAITS))
        after = yield from self._of_class(denoiser, OF_CLASS)
        measures = {
            "likeness": likeness.of(pictures),
            "portrait": likeness.of(portraits),
            "obedience": sum(right) / len(right),
            "hijacked": likeness.share_like_it(after),
            "pres": likeness.similarity(after),
            "diversity": likeness.diversity(after) / max(likeness.diversity(before), 1e-6),
            "photos_alike": likeness.photos_alike,
        }
        return ReportCard(_rounded(measures), before, after, pictures)

    def first_look(self, references: Sequence[Tensor]) -> Steps[tuple[dict[str, float], list[Image.Image]]]:
        """Measure what the base model draws from the latents of photos alone, before anything is learned.

        *likeness* and *obedience* are those of a card; the pictures are its places with the same seeds.
        """
        self._done, self._of = 0, len(PLACES) * IN_EACH + (0 if OF_CLASS in self._before else OF_CLASS)
        likeness = (yield from self._baseline(OF_CLASS)).likeness
        called = called_by_photos(self.who.noun)
        pictures, right = yield from self._in_places(self.base.denoiser, IN_EACH, called=called, references=references)
        return _rounded({"likeness": likeness.of(pictures), "obedience": sum(right) / len(right)}), pictures

    def _in_places(
        self, denoiser: Drawer, in_each: int, share: float = 1, called: str = "", **how: Any
    ) -> Steps[tuple[list[Image.Image], list[bool]]]:
        """Pictures of the subject in places, whatever prompts call it, and whether each is where it should be."""
        who, asked = self.who, [place for place in PLACES for _ in range(in_each)]
        seeds = [SEED + k for _ in PLACES for k in range(in_each)]
        called = called or f"a {who.identifier} {who.noun}"
        prompts = [f"{called} {place}" for place in asked]
        pictures = yield from self._draw(denoiser, prompts, seeds, share, **how)
        seen = self.embedder.places(pictures, who.noun, PLACES)
        return pictures, [place == where for place, where in zip(asked, seen, strict=True)]

    def _of_class(self, denoiser: Drawer, count: int, share: float = 1) -> Steps[list[Image.Image]]:
        return self._draw(denoiser, class_prompt(self.who.noun), range(FIRST_SEED, FIRST_SEED + count), share)

    def _draw(
        self, denoiser: Drawer, prompt: str | Sequence[str], seeds: Sequence[int], share: float = 1, **more: Any
    ) -> Steps[list[Image.Image]]:
        """Draw a picture for each seed with this share of the denoising steps."""
        how = {**self.how, "steps": math.ceil(self.how["steps"] * share), **more}
        together = 1 if how.get("references") else self.together  # which lengthen each row several times
        steps = sampling.draw_steps(self.base, denoiser, prompt, list(seeds), together, **how)
        images = yield from with_progress(steps, lambda *_: (self._done, self._of))
        self._done += len(images)
        return images


class MultiSubjectEvaluator:
    """Measures all who are learned together: a candidate is as good as they are on the whole."""

    def __init__(self, evaluators: Sequence[SubjectEvaluator]) -> None:
        self.evaluators = evaluators

    @property
    def glanced(self) -> list[list[Image.Image]]:
        """What each of their evaluators saw the last time, rows of pictures."""
        return [row for evaluator in self.evaluators for row in evaluator.glanced]

    def glance(self, denoiser: Drawer) -> Steps[dict[str, float]]:
        """Means of what each of their evaluators measures at a glance."""
        seen = []
        for evaluator in self.evaluators:
            seen.append((yield from evaluator.glance(denoiser)))
        return {name: mean(each[name] for each in seen) for name in seen[0]}


def _rounded(measures: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 3) for name, value in measures.items()}

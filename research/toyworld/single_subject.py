"""Characters that sit for their figures: eight that the base model never saw, how they are learned and measured."""

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from random import Random
from statistics import mean
from typing import Any

from PIL import Image
from torch import Tensor

from research.toyworld.scenes import character
from storage.contract.recipe import Recipe
from storage.nouns import class_prompt
from trainer.diffusion import sampling
from trainer.diffusion.row_adapters import Drawer
from trainer.dreambooth import class_images
from trainer.dreambooth.candidates import Candidates
from trainer.dreambooth.dataset import SubjectSpec
from trainer.dreambooth.prompts import instance_prompt
from trainer.dreambooth.report_card import SubjectEvaluator
from trainer.dreambooth.train import learn
from trainer.metrics.embedders import ToyworldEmbedder, small
from trainer.metrics.similarity import SubjectSimilarity
from trainer.models.base import BaseModel
from trainer.models.rare_tokens import choose
from trainer.steps import run_to_end
from trainer.toyworld.judge import Judge, judge_pictures
from trainer.toyworld.words import PLACES

DRAWN: dict[str, Any] = {"steps": 20, "guidance": 4.0}
CHARACTERS = (("dog", 1), ("cat", 2), ("robot", 3), ("bird", 4), ("teapot", 5), ("car", 6), ("bear", 7), ("mug", 8))
ASKED_PLACES = ("in Paris", "on the beach", "on the moon", "in the jungle")
Figures = dict[str, Any]


def draw(base: BaseModel, denoiser: Drawer, prompt: str, count: int, seed: int = 0) -> list[Image.Image]:
    """Draw pictures with seeds from `seed` on."""
    return list(sampling.draw(base, denoiser, prompt, list(range(seed, seed + count)), **DRAWN))


class CharacterFixture:
    """A character with four drawn photos to learn it from, and what pictures of it are measured against."""

    def __init__(self, base: BaseModel, judge: Judge, noun: str, seed: int) -> None:
        self.base, self.judge, self.noun = base, judge, noun
        who, rng = character(seed, noun), Random(f"figures {seed}")
        self.who, self.name, self.places = who, who.name, rng.sample(PLACES, 4)
        self.photos = [who.photo(rng, place, size_px=128) for place in self.places]
        self.plain = draw(base, base.denoiser, class_prompt(noun), 32, seed=500)
        own = [who.photo(rng, size_px=base.image_px) for _ in range(16)]
        self.likeness = SubjectSimilarity(ToyworldEmbedder().embed, self.photos, zero=self.plain, one=own)

    def figures(self, denoiser: Drawer, identifier: str) -> Figures:
        """Likeness, places, and what became of the class."""
        likeness = self.likeness
        asked = [f"a {identifier} {self.noun} {place}" for place in ASKED_PLACES]
        pictures = [draw(self.base, denoiser, prompt, 4, seed=40) for prompt in asked]
        seen = [judge_pictures(self.judge, small(group)).words["place"] for group in pictures]
        portraits = draw(self.base, denoiser, instance_prompt(identifier, self.noun), 8, seed=80)
        after = draw(self.base, denoiser, class_prompt(self.noun), 32, seed=500)
        right = [w == place for place, words in zip(ASKED_PLACES, seen, strict=True) for w in words]
        return {
            "likeness": round(likeness.of([p for group in pictures for p in group]), 3),
            "portrait": round(likeness.of(portraits), 3),
            "place": round(mean(right), 3),
            "hijacked": round(likeness.share_like_it(after), 3),
            "pres": round(likeness.similarity(after), 3),
            "div": round(likeness.diversity(after), 3),
            "div_before": round(likeness.diversity(self.plain), 3),
        }


@dataclass(frozen=True)
class TrainedCharacter:
    """What was learned, and how long that took without the class images."""

    denoiser: Drawer
    identifier: str
    steps: int
    kept: int  # the step that was kept
    seconds: float
    candidates: Candidates


def class_latents_of(base: BaseModel, noun: str, recipe: Recipe, folder: Path) -> Tensor | None:
    """The latents of class images, drawn into a folder; None where the recipe preserves the class without."""
    if recipe.prior != "class_set":
        return None
    run_to_end(class_images.draw_class_set(base, noun, recipe, folder / "class"))
    return class_images.read_class_set(folder / "class")


def trained(
    base: BaseModel,
    images: list[Image.Image],
    noun: str,
    recipe: Recipe,
    seed: int = 0,
    captions: tuple[str, ...] = (),
) -> TrainedCharacter:
    """Learn a subject from pictures, as the engine does."""
    identifier = choose(base.rare_words, noun)
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{k}.png" for k in range(len(images))]
        for image, path in zip(images, paths, strict=True):
            image.save(path)
        latents = class_latents_of(base, noun, recipe, Path(folder))
        subject, began_s = SubjectSpec(paths, noun, identifier, captions), time.perf_counter()
        how: dict[str, Any] = {"steps": recipe.sample_steps, "guidance": recipe.sample_guidance}
        candidates = Candidates(base, recipe, SubjectEvaluator(base, ToyworldEmbedder(), subject, **how))
        learned = learn(
            base, [(subject, latents)], recipe, seed, lambda step: run_to_end(candidates.after(step.training))
        )
        seconds = time.perf_counter() - began_s
        kept_step = candidates.best.step if candidates.best else len(learned.losses)
        return TrainedCharacter(
            candidates.denoiser(learned), identifier, len(learned.losses), kept_step, seconds, candidates
        )

"""Figures of several subjects: characters of one class, learned together or added up, and whether they bleed.

Each is asked for alone and measured against the photos of all: a row of figures is who was asked for, a column whose
photos. Off the diagonal it should be where the photos of one are as seen by another (`photos`), and no nearer to 1.
"""

import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from statistics import mean
from typing import Any

from PIL import Image
from torch import Tensor

from research.toyworld.scenes import Character, character
from research.toyworld.single_subject import ASKED_PLACES, draw
from storage.contract.recipe import Recipe
from storage.nouns import class_prompt
from trainer.diffusion import sampling
from trainer.dreambooth import class_images
from trainer.dreambooth.dataset import SubjectSpec
from trainer.dreambooth.prompts import instance_prompt
from trainer.dreambooth.train import learn
from trainer.dreambooth.weights import load_learned, save_learned
from trainer.metrics.embedders import ToyworldEmbedder
from trainer.metrics.similarity import SubjectSimilarity
from trainer.models.base import BaseModel
from trainer.models.default_recipe import for_several, recipe_for
from trainer.models.denoiser import Denoiser
from trainer.models.rare_tokens import choose
from trainer.steps import run_to_end
from trainer.toyworld.words import PLACES

Pictures = dict[str, list[Image.Image]]


@dataclass(frozen=True)
class CharacterSubject:
    """A character, what is to be learned of it, and how pictures are like it."""

    who: Character
    subject: SubjectSpec
    own: list[Image.Image]  # pictures of it that nobody learned from
    likeness: SubjectSimilarity


def characters(base: BaseModel, noun: str, seeds: list[int], folder: Path) -> list[CharacterSubject]:
    """Characters of a class, with four photos each in `folder`, as in the figures of one alone."""
    plain, embedder = draw(base, base.denoiser, class_prompt(noun), 32, seed=500), ToyworldEmbedder()
    subjects: list[CharacterSubject] = []
    for seed in seeds:
        who, rng = character(seed, noun), Random(f"figures {seed}")
        photos = [who.photo(rng, place, size_px=128) for place in rng.sample(PLACES, 4)]
        paths = [folder / f"{seed}-{k}.png" for k in range(len(photos))]
        for photo, path in zip(photos, paths, strict=True):
            photo.save(path)
        own = [who.photo(rng) for _ in range(16)]
        word = choose(base.rare_words, noun, [each.subject.identifier for each in subjects])
        likeness = SubjectSimilarity(embedder.embed, photos, zero=plain, one=own)
        subjects.append(CharacterSubject(who, SubjectSpec(paths, noun, word), own, likeness))
    return subjects


def learned_together(base: BaseModel, who: list[CharacterSubject], class_latents: Tensor, recipe: Recipe) -> Denoiser:
    """All in one training."""
    subjects = [(each.subject, class_latents) for each in who]
    return learn(base, subjects, for_several(recipe, len(who)), 0, lambda _: None).denoiser


def added_up(base: BaseModel, who: list[CharacterSubject], class_latents: Tensor, recipe: Recipe) -> Denoiser:
    """Each in a training of its own with LoRA, which is added up to draw."""
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / f"{each.subject.identifier}.safetensors" for each in who]
        for each, file in zip(who, files, strict=True):
            learned = learn(base, [(each.subject, class_latents)], recipe, 0, lambda _: None)
            save_learned(file, learned.denoiser, base.denoiser)
        denoiser = base.denoiser.copy()
        load_learned(files[0], denoiser, base.denoiser, *files[1:])
    return denoiser


def figures(base: BaseModel, noun: str, seeds: Iterable[int], out: Path, **changes: Any) -> dict[str, Any]:
    """Learn characters of a class together, or with the method lora each alone, and measure who looks like whom.

    A sheet is left in `out`: of each its looks, portraits, pictures in places; then the class, and all in one prompt.
    """
    recipe, seeds = recipe_for(base.folder, **changes), list(seeds)
    with tempfile.TemporaryDirectory() as folder:
        who, class_set = characters(base, noun, seeds, Path(folder)), Path(folder) / "class"
        run_to_end(class_images.draw_class_set(base, noun, recipe, class_set))
        way = added_up if recipe.method == "lora" else learned_together
        denoiser = way(base, who, class_images.read_class_set(class_set), recipe)
    shown = {each.who.name: pictures_of(base, denoiser, each) for each in who}
    like = {name: _likeness(pictures, who) for name, pictures in shown.items()}
    after = draw(base, denoiser, class_prompt(noun), 32, seed=500)
    all_of_them = " and ".join(f"a {each.subject.identifier} {noun}" for each in who)
    rows = [row for pictures in shown.values() for row in pictures.values()]
    rows += [after, draw(base, denoiser, all_of_them, 8, seed=80)]
    sheet = sampling.grid([sampling.grid(row[:8], columns=8) for row in rows], columns=1)
    sheet.save(out / f"{recipe.method}-{noun}-{'-'.join(map(str, seeds))}.png")
    others = [like[a]["places"][b] for a in like for b in like if a != b]
    return {
        "recipe": recipe.model_dump(),
        "likeness": like,
        "hijacked": {each.who.name: round(each.likeness.share_like_it(after), 3) for each in who},
        "to itself": round(mean(like[name]["places"][name] for name in like), 3),
        "to others": round(mean(others), 3),
    }


def pictures_of(base: BaseModel, denoiser: Denoiser, sitter: CharacterSubject) -> Pictures:
    """Pictures of one by itself: true ones, then as learned, portraits and in places; the places take turns."""
    word, noun = sitter.subject.identifier, sitter.subject.noun
    places = [draw(base, denoiser, f"a {word} {noun} {place}", 4, seed=40) for place in ASKED_PLACES]
    return {
        "photos": sitter.own,
        "portraits": draw(base, denoiser, instance_prompt(word, noun), 8, seed=80),
        "places": [picture for one_of_each in zip(*places, strict=True) for picture in one_of_each],
    }


def _likeness(pictures: Pictures, who: list[CharacterSubject]) -> dict[str, dict[str, float]]:
    """How much each kind of pictures is like each character."""
    return {
        kind: {each.who.name: round(each.likeness.of(drawn), 3) for each in who} for kind, drawn in pictures.items()
    }

"""Figures of Toyworld: what the base model draws, and what DreamBooth makes of characters and of real photos.

    python -m research.toyworld.evaluate base|vae|characters|no-prior|photos|together [--photos FOLDER]

All by the judge that ships; `docs/benchmarks.md` has the results.
"""

import argparse
import itertools
import json
from collections.abc import Callable
from pathlib import Path
from random import Random
from statistics import mean
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from research.toyworld import multi_subject
from research.toyworld.scenes import character, draw_scene
from research.toyworld.single_subject import ASKED_PLACES, CHARACTERS, DRAWN, CharacterFixture, Figures, draw, trained
from storage.contract.recipe import Recipe
from storage.nouns import class_prompt
from trainer.diffusion import sampling
from trainer.diffusion.images import to_tensor
from trainer.dreambooth.prompts import instance_prompt
from trainer.metrics.embedders import small
from trainer.models.base import BaseModel, load_base
from trainer.models.default_recipe import recipe_for
from trainer.toyworld.judge import Judge, judge_pictures, load_judge
from trainer.toyworld.words import CLASSES, COLOURS, PLACES, Scene


def base_figures(base: BaseModel, judge: Judge, count: int = 512, **how: Any) -> Figures:
    """Share of fresh captions whose class, colour and place the judge sees in the picture; drawn as `how` says."""
    rng = Random("captions of the figures")
    asked = [(rng.choice(CLASSES), rng.choice(list(COLOURS)), rng.choice(PLACES)) for _ in range(count)]
    prompts = [f"a photo of {'an' if colour == 'orange' else 'a'} {colour} {n} {place}" for n, colour, place in asked]
    pictures = []
    for first in range(0, count, sampling.BATCH):
        some = prompts[first : first + sampling.BATCH]
        seeds = [*range(first, first + len(some))]
        pictures += sampling.draw(base, base.denoiser, some, seeds, **{**DRAWN, **how})
    seen = judge_pictures(judge, small(pictures)).words
    right = {
        label: mean(seen[label][k] == wanted[i] for k, wanted in enumerate(asked))
        for i, label in enumerate(("noun", "colour", "place"))
    }
    return {"captions": count, **{label: round(share, 4) for label, share in right.items()}}


def judge_figures(judge: Judge, size_px: int, count: int = 512) -> Figures:
    """Share of fresh drawings of a size that the judge reads right: the ceiling of every other figure."""
    rng = Random("drawings of the figures")
    scenes = [Scene(rng.choice(CLASSES), rng.choice(list(COLOURS)), rng.choice(PLACES)) for _ in range(count)]
    seen = judge_pictures(judge, small([draw_scene(scene, rng, size_px) for scene in scenes])).words
    return {
        label: round(mean(seen[label][k] == getattr(s, label) for k, s in enumerate(scenes)), 4)
        for label in ("noun", "colour", "place")
    }


@torch.no_grad()
def vae_figures(base: BaseModel, photos: Path | None) -> Figures:
    """Peak signal-to-noise ratio of the autoencoder in dB, on drawings and on photos that it was not trained on."""
    from research.toyworld.vae_training import HELD_OUT

    rng = Random("drawings of the autoencoder")
    sets = {
        "drawings": [
            draw_scene(Scene(rng.choice(CLASSES), rng.choice(list(COLOURS)), rng.choice(PLACES)), rng, base.image_px)
            for _ in range(128)
        ],
        "characters": [character(seed).photo(rng, size_px=base.image_px) for seed in range(64)],
    }
    if photos:
        held_out = [path for name in HELD_OUT for path in sorted((photos / name).glob("*.jpg"))]
        sets["photos"] = [square(path, base.image_px) for path in held_out]
    return {name: round(_psnr_db(base, to_tensor(images)), 2) for name, images in sets.items()}


def _psnr_db(base: BaseModel, pictures: Tensor) -> float:
    errors = [base.parts["vae"](part).sample.clamp(-1, 1) - part for part in torch.split(pictures, 16)]
    per_picture = (torch.cat(errors) / 2).square().mean((1, 2, 3))
    return float((-10 * per_picture.log10()).mean())


def square(path: Path, side_px: int) -> Image.Image:
    """The middle square of a photo, as the figures use it."""
    with Image.open(path) as image:
        side = min(image.size)
        left, top = (image.width - side) // 2, (image.height - side) // 2
        box = (left, top, left + side, top + side)
        return image.convert("RGB").resize((side_px, side_px), Image.Resampling.LANCZOS, box)


def character_figures(
    base: BaseModel, judge: Judge, recipe: Recipe, noun: str, seed: int, training_seed: int = 0
) -> Figures:
    """Train one character and measure likeness, places and what became of its class."""
    sitting = CharacterFixture(base, judge, noun, seed)
    result = trained(base, sitting.photos, noun, recipe, training_seed)
    how_long = {"steps": result.steps, "kept": result.kept, "seconds": round(result.seconds, 1)}
    return {"character": sitting.name, **sitting.figures(result.denoiser, result.identifier), **how_long}


def all_characters(base: BaseModel, judge: Judge, seeds: int = 1, **changes: Any) -> Figures:
    """Figures of the eight characters and their means, for the default recipe with `changes`, from so many seeds."""
    recipe = recipe_for(base.folder, **changes)
    rows = []
    for training_seed, (noun, seed) in itertools.product(range(seeds), CHARACTERS):
        rows.append(character_figures(base, judge, recipe, noun, seed, training_seed))
        print(json.dumps(rows[-1]), flush=True)  # noqa: T201
    return {"recipe": recipe.model_dump(), "mean": means(rows), "rows": rows}


def means(rows: list[Figures]) -> Figures:
    """The mean of each figure."""
    return {key: round(mean(row[key] for row in rows), 3) for key in rows[0] if key != "character"}


def photo_figures(base: BaseModel, judge: Judge, photos: Path, noun: str, out: Path, **changes: Any) -> Figures:
    """Train on real photos of one subject; compare its pictures and the base model's class pictures with them.

    Similarity is that of a picture with the photo nearest to it. A contact sheet is left in `out`: photos, the
    class as the base model draws it, the subject, the subject in places.
    """
    recipe = recipe_for(base.folder, **changes)
    images = [square(path, 2 * base.image_px) for path in sorted(photos.glob("*.jpg"))]
    result = trained(base, images, noun, recipe)
    denoiser, identifier = result.denoiser, result.identifier
    before = draw(base, base.denoiser, class_prompt(noun), 8)
    portraits = draw(base, denoiser, instance_prompt(identifier, noun), 8)
    places = [draw(base, denoiser, f"a {identifier} {noun} {place}", 2)[k] for place in ASKED_PLACES for k in (0, 1)]
    given = [image.resize((base.image_px, base.image_px)) for image in images]
    rows = [(given * 8)[:8], before, portraits, places]
    sampling.grid([sampling.grid(row, columns=8) for row in rows], columns=1).save(out / f"{photos.name}.png")
    learned_from = judge_pictures(judge, small(given)).embeddings

    def nearest(pictures: list[Image.Image]) -> float:
        similar = judge_pictures(judge, small(pictures)).embeddings @ learned_from.T
        return round(float(similar.max(1).values.mean()), 3)

    return {"subject": photos.name, "class": noun, "before": nearest(before), "learned": nearest(portraits)}


def main() -> None:
    """Run the figures that are asked for and print them as JSON."""
    parser = argparse.ArgumentParser(prog="python -m research.toyworld.evaluate", description="Figures of Toyworld.")
    parser.add_argument("what", choices=("base", "vae", "characters", "no-prior", "photos", "together"))
    parser.add_argument("--photos", type=Path, help="a folder of folders of photographs, one a subject")
    parser.add_argument("--subjects", nargs="*", default=[], metavar="FOLDER=CLASS", help="which of them to learn")
    parser.add_argument("--out", type=Path, default=Path("build/figures"), help="where contact sheets go")
    parser.add_argument("--model", default="toyworld", help="the base model, as DARKROOM_BASE_MODEL")
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=NUMBER", help="changes of the recipe")
    parser.add_argument("--seeds", type=int, default=1, help="how often each character is learned, from other chance")
    parser.add_argument("--pair", nargs="*", default=["dog", "1", "3"], help="a class, and seeds of its characters")
    given = parser.parse_args()
    base, judge = load_base(given.model), load_judge()
    changes = {name: json.loads(value) for name, _, value in (change.partition("=") for change in given.set)}
    given.out.mkdir(parents=True, exist_ok=True)
    subjects = [subject.partition("=") for subject in given.subjects]
    what: dict[str, Callable[[], Figures]] = {
        "base": lambda: {"judge": judge_figures(judge, base.image_px), "base": base_figures(base, judge)},
        "vae": lambda: vae_figures(base, given.photos),
        "characters": lambda: all_characters(base, judge, given.seeds, **changes),
        "photos": lambda: {
            name: photo_figures(base, judge, given.photos / name, noun, given.out, **changes)
            for name, _, noun in subjects
        },
        "together": lambda: multi_subject.figures(
            base, given.pair[0], [int(s) for s in given.pair[1:]], given.out, **changes
        ),
        "no-prior": lambda: all_characters(base, judge, given.seeds, **{**changes, "prior_weight": 0.0}),
    }
    print(json.dumps(what[given.what](), indent=1))  # noqa: T201


if __name__ == "__main__":
    main()

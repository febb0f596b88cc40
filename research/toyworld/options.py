"""What options of a recipe, and more or fewer photos, do to characters of Toyworld.

    python -m research.toyworld.options [CASE …] [--characters 2]

One line of JSON for each case and character; `docs/benchmarks.md` has the results.
"""

import argparse
import json
from dataclasses import dataclass, field
from random import Random
from typing import Any

from PIL import Image

from research.toyworld.single_subject import CHARACTERS, CharacterFixture, trained
from trainer.models.base import load_base
from trainer.models.default_recipe import recipe_for
from trainer.toyworld.judge import load_judge
from trainer.toyworld.words import PLACES


@dataclass(frozen=True)
class RecipeCase:
    """Changes of the recipe that suits Toyworld, and what is learned from."""

    changes: dict[str, Any] = field(default_factory=dict)
    photos: int = 4
    cut_out: bool = False
    captions: bool = False

    def given(self, sitting: CharacterFixture, seed: int) -> tuple[list[Image.Image], tuple[str, ...]]:
        """The photos to learn from, and their captions: the places."""
        who, photos, rng, more = sitting.who, sitting.photos, Random(f"cut {seed}"), Random(f"more {seed}")
        if self.cut_out:
            photos = [who.cut_out(rng, place, size_px=128) for place in sitting.places]
        new = [who.photo(more, place, size_px=128) for place in more.sample(PLACES, max(0, self.photos - 4))]
        return [*photos, *new][: self.photos], tuple(sitting.places[: self.photos]) if self.captions else ()


CASES = {
    "four photos": RecipeCase(),
    "captions": RecipeCase({"captions": True}, captions=True),
    "flips": RecipeCase({"flips": True}),
    "noise offset 0.1": RecipeCase({"noise_offset": 0.1}),
    "moving average 0.99": RecipeCase({"ema_decay": 0.99}),
    "Min-SNR 5": RecipeCase({"snr_gamma": 5.0}),
    "cosine": RecipeCase({"schedule": "cosine"}),
    "text encoder stops at 160": RecipeCase({"text_steps": 160}),
    "cut out": RecipeCase(cut_out=True),
    "cut out, background 0.1": RecipeCase({"mask_weight": 0.1}, cut_out=True),
    "one photo": RecipeCase(photos=1),
    "one photo, caption": RecipeCase({"captions": True}, photos=1, captions=True),
    "one photo, 16 crops": RecipeCase({"crops": 16}, photos=1),
    "ten photos": RecipeCase(photos=10),
    "ten photos, 1,600 steps": RecipeCase({"steps": 1600}, photos=10),
}


def main() -> None:
    """Run the cases that are asked for, or all."""
    parser = argparse.ArgumentParser(prog="python -m research.toyworld.options", description="Figures of options.")
    parser.add_argument("cases", nargs="*", metavar="CASE", help=", ".join(CASES))
    parser.add_argument("--characters", type=int, default=2, help="how many of the eight")
    given = parser.parse_args()
    base, judge = load_base("toyworld"), load_judge()
    for name in given.cases or CASES:
        case = CASES[name]
        recipe = recipe_for(base.folder, **case.changes)
        for noun, seed in CHARACTERS[: given.characters]:
            sitting = CharacterFixture(base, judge, noun, seed)
            photos, captions = case.given(sitting, seed)
            result = trained(base, photos, noun, recipe, captions=captions)
            figures = sitting.figures(result.denoiser, result.identifier)
            ended = {"kept": result.kept, "steps": result.steps, "seconds": round(result.seconds, 1)}
            print(json.dumps({"case": name, "character": sitting.name, **figures, **ended}), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()

"""Where a training should end: the candidate that is kept, against a fixed number of steps.

    python -m trainer.toyworld.ending [--seeds 3] [--fixed 400] [--set NAME=NUMBER …] [--of dog cat …]

Each character is learned once, so both are of the very same training. Its time is told with what looking at candidates
takes for the one, and without it for the other.
"""

import argparse
import itertools
import json
import tempfile
import time
from pathlib import Path

from storage.recipe import Recipe
from trainer import classes
from trainer.dreambooth import Step, learn
from trainer.judging.eyes import ToyworldEye
from trainer.judging.report_card import Examiner
from trainer.lessons.candidates import Candidate, Candidates, is_enough
from trainer.lessons.looking import candidate_steps
from trainer.models import BaseModel, load_base
from trainer.recipe import recipe_for
from trainer.toyworld.evaluate import means
from trainer.toyworld.judge import load_judge
from trainer.toyworld.sitting import CHARACTERS, Figures, Sitting
from trainer.training.identifier import choose
from trainer.training.material import Subject


class Timed:
    """Takes the time of a training at each candidate: what learning took, and what looking at candidates did."""

    def __init__(self, candidates: Candidates, fixed: int) -> None:
        """`fixed` is the step to go on to at least."""
        self.candidates, self.fixed, self.began_s = candidates, fixed, time.perf_counter()
        self.looking_s = 0.0
        self.at_s: list[tuple[float, float]] = []  # learning, looking; after each candidate

    def after(self, step: Step) -> bool:
        """Keep a candidate if it is time for one; tell whether there is nothing more to find out."""
        before_s, seen = time.perf_counter(), len(self.candidates.seen)
        self.candidates.after(step.training)
        if len(self.candidates.seen) > seen:
            now_s = time.perf_counter()
            self.looking_s += now_s - before_s
            self.at_s.append((now_s - self.began_s - self.looking_s, self.looking_s))
        scores = [one.measures["score"] for one in self.candidates.seen]
        return step.step >= self.fixed and is_enough(scores, self.candidates.recipe.patience)


def ending(seen: list[Candidate], patience: int) -> tuple[int, Candidate]:
    """Which candidate, from 0, a training would have ended with, and the one that would have been kept."""
    scores = [one.measures["score"] for one in seen]
    last = next((n for n in range(len(seen)) if is_enough(scores[: n + 1], patience)), len(seen) - 1)
    return last, max(seen[: last + 1], key=lambda one: one.measures["score"])


def compare(base: BaseModel, sitting: Sitting, recipe: Recipe, seed: int, fixed: int) -> dict[str, Figures]:
    """Learn a character; measure it after a fixed number of steps, and as it would have been kept."""
    identifier = choose(base.rare_words, sitting.noun)
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{k}.png" for k in range(len(sitting.photos))]
        for image, path in zip(sitting.photos, paths, strict=True):
            image.save(path)
        class_set, subject = Path(folder) / "class", Subject(paths, sitting.noun, identifier)
        classes.draw_class_set(base, sitting.noun, recipe, class_set, lambda *_: None)
        eye, how = ToyworldEye(), (recipe.sample_steps, recipe.sample_guidance)
        all_kept = recipe.model_copy(update={"choose": True})
        examiner = Examiner(base, eye, subject, steps=how[0], guidance=how[1])
        timed = Timed(Candidates(base, all_kept, examiner), fixed)
        learn(base, subject, classes.read_class_set(class_set), recipe, seed, timed.after)
    seen = timed.candidates.seen
    last, best = ending(seen, recipe.patience)
    there = [one.step for one in seen].index(fixed)

    def figures(one: Candidate, steps: int, seconds: float) -> Figures:
        found = sitting.figures(timed.candidates.denoiser_of(one), identifier)
        return {**found, "kept": one.step, "steps": steps, "seconds": round(seconds, 1)}

    return {
        "fixed": figures(seen[there], fixed, timed.at_s[there][0]),
        "kept": figures(best, seen[last].step, sum(timed.at_s[last])),
        "scores": {str(one.step): one.measures["score"] for one in seen},
    }


def main() -> None:
    """Compare for all characters and print what came of it as JSON."""
    parser = argparse.ArgumentParser(prog="python -m trainer.toyworld.ending", description="Where to end a training.")
    parser.add_argument("--seeds", type=int, default=1, help="how often each character is learned, from other chance")
    parser.add_argument("--of", nargs="*", default=[noun for noun, _ in CHARACTERS], help="which characters")
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=NUMBER", help="changes of the recipe")
    parser.add_argument("--fixed", type=int, default=400, help="steps to compare with: those of a candidate")
    given = parser.parse_args()
    base, judge = load_base("toyworld"), load_judge()
    changes = {name: json.loads(value) for name, _, value in (change.partition("=") for change in given.set)}
    recipe = recipe_for(base.folder, **changes)
    steps = candidate_steps(recipe.steps, recipe.candidates)
    if given.fixed not in steps:
        parser.error(f"{given.fixed} is none of the steps with candidates: {', '.join(map(str, steps))}")
    rows: list[dict[str, Figures]] = []
    sittings = [Sitting(base, judge, noun, character) for noun, character in CHARACTERS if noun in given.of]
    for seed, sitting in itertools.product(range(given.seeds), sittings):
        rows.append(compare(base, sitting, recipe, seed, given.fixed))
        print(json.dumps({"character": sitting.name, "seed": seed, **rows[-1]}), flush=True)  # noqa: T201
    print(json.dumps({end: means([row[end] for row in rows]) for end in ("fixed", "kept")}, indent=1))  # noqa: T201


if __name__ == "__main__":
    main()

"""Where a training should end: the candidate that is kept, against a fixed number of steps.

    python -m research.toyworld.stopping [--seeds 3] [--fixed 400] [--set NAME=NUMBER …] [--of dog cat …]

Each character is learned once, so both are of the very same training. Its time is told with what looking at candidates
takes for the one, and without it for the other.
"""

import argparse
import itertools
import json
import tempfile
import time
from pathlib import Path

from research.toyworld.evaluate import means
from research.toyworld.single_subject import CHARACTERS, CharacterFixture, Figures
from storage.contract.recipe import Recipe
from trainer.dreambooth import class_images
from trainer.dreambooth.candidates import Candidates, CandidateSnapshot, should_stop_early
from trainer.dreambooth.dataset import SubjectSpec
from trainer.dreambooth.eval_schedule import candidate_steps
from trainer.dreambooth.report_card import SubjectEvaluator
from trainer.dreambooth.train import Step, learn
from trainer.metrics.embedders import ToyworldEmbedder
from trainer.models.base import BaseModel, load_base
from trainer.models.default_recipe import recipe_for
from trainer.models.rare_tokens import choose
from trainer.steps import run_to_end
from trainer.toyworld.judge import load_judge


class TrainingTimes:
    """Takes the time of a training at each candidate: what learning took, and what looking at candidates did."""

    def __init__(self, candidates: Candidates, fixed: int) -> None:
        """`fixed` is the step to go on to at least."""
        self.candidates, self.fixed, self.began_s = candidates, fixed, time.perf_counter()
        self.looking_s = 0.0
        self.at_s: list[tuple[float, float]] = []  # learning, looking; after each candidate

    def after(self, step: Step) -> bool:
        """Keep a candidate if it is time for one; tell whether there is nothing more to find out."""
        before_s, seen = time.perf_counter(), len(self.candidates.seen)
        run_to_end(self.candidates.after(step.training))
        if len(self.candidates.seen) > seen:
            now_s = time.perf_counter()
            self.looking_s += now_s - before_s
            self.at_s.append((now_s - self.began_s - self.looking_s, self.looking_s))
        scores = [one.measures["score"] for one in self.candidates.seen]
        return step.step >= self.fixed and should_stop_early(scores, self.candidates.recipe.patience)


def ending(seen: list[CandidateSnapshot], patience: int) -> tuple[int, CandidateSnapshot]:
    """Which candidate, from 0, a training would have ended with, and the one that would have been kept."""
    scores = [one.measures["score"] for one in seen]
    last = next((n for n in range(len(seen)) if should_stop_early(scores[: n + 1], patience)), len(seen) - 1)
    return last, max(seen[: last + 1], key=lambda one: one.measures["score"])


def compare(base: BaseModel, sitting: CharacterFixture, recipe: Recipe, seed: int, fixed: int) -> dict[str, Figures]:
    """Learn a character; measure it after a fixed number of steps, and as it would have been kept."""
    identifier = choose(base.rare_words, sitting.noun)
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{k}.png" for k in range(len(sitting.photos))]
        for image, path in zip(sitting.photos, paths, strict=True):
            image.save(path)
        class_set, subject = Path(folder) / "class", SubjectSpec(paths, sitting.noun, identifier)
        run_to_end(class_images.draw_class_set(base, sitting.noun, recipe, class_set))
        embedder, how = ToyworldEmbedder(), (recipe.sample_steps, recipe.sample_guidance)
        all_kept = recipe.model_copy(update={"choose": True})
        evaluator = SubjectEvaluator(base, embedder, subject, steps=how[0], guidance=how[1])
        timed = TrainingTimes(Candidates(base, all_kept, evaluator), fixed)
        learn(base, [(subject, class_images.read_class_set(class_set))], recipe, seed, timed.after)
    seen = timed.candidates.seen
    last, best = ending(seen, recipe.patience)
    there = [one.step for one in seen].index(fixed)

    def figures(one: CandidateSnapshot, steps: int, seconds: float) -> Figures:
        measured = sitting.figures(timed.candidates.denoiser_of(one), identifier)
        return {**measured, "kept": one.step, "steps": steps, "seconds": round(seconds, 1)}

    return {
        "fixed": figures(seen[there], fixed, timed.at_s[there][0]),
        "kept": figures(best, seen[last].step, sum(timed.at_s[last])),
        "scores": {str(one.step): one.measures["score"] for one in seen},
    }


def main() -> None:
    """Compare for all characters and print what came of it as JSON."""
    parser = argparse.ArgumentParser(
        prog="python -m research.toyworld.stopping", description="Where to end a training."
    )
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
    sittings = [CharacterFixture(base, judge, noun, character) for noun, character in CHARACTERS if noun in given.of]
    for seed, sitting in itertools.product(range(given.seeds), sittings):
        rows.append(compare(base, sitting, recipe, seed, given.fixed))
        print(json.dumps({"character": sitting.name, "seed": seed, **rows[-1]}), flush=True)  # noqa: T201
    print(json.dumps({end: means([row[end] for row in rows]) for end in ("fixed", "kept")}, indent=1))  # noqa: T201


if __name__ == "__main__":
    main()

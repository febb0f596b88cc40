"""Where a training should end: the candidate that is kept, against all the steps of the recipe.

    python -m trainer.toyworld.ending [--seeds 3] [--set NAME=NUMBER …] [--of dog cat …]

Each character is learned once, with all steps and candidates; what would have been kept follows from the candidates'
scores, so both are of the very same training, and its time is told with and without what candidates cost.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

from storage.recipe import Recipe
from trainer import classes
from trainer.candidates import Candidate, Candidates, no_better
from trainer.dreambooth import Step, learn
from trainer.eyes import ToyworldEye
from trainer.identifier import choose
from trainer.material import Subject
from trainer.models import BaseModel, load_base
from trainer.recipe import recipe_for
from trainer.report_card import Examiner
from trainer.toyworld.evaluate import CHARACTERS, Figures, Sitting, means
from trainer.toyworld.judge import load_judge


class Timed:
    """Takes the time of a training at each candidate: what learning took, and what looking at candidates did."""

    def __init__(self, candidates: Candidates) -> None:
        self.candidates, self.began_s = candidates, time.perf_counter()
        self.looking_s = 0.0
        self.at_s: list[tuple[float, float]] = []  # learning, looking; after each candidate

    def after(self, step: Step) -> None:
        """Keep a candidate if it is time for one."""
        before_s, seen = time.perf_counter(), len(self.candidates.seen)
        self.candidates.after(step.training)
        if len(self.candidates.seen) > seen:
            now_s = time.perf_counter()
            self.looking_s += now_s - before_s
            self.at_s.append((now_s - self.began_s - self.looking_s, self.looking_s))


def kept(seen: list[Candidate], patience: int) -> tuple[int, Candidate]:
    """After how many candidates a training would have ended, and the one that would have been kept."""
    scores = [one.measures["score"] for one in seen]
    ends = next((n for n in range(1, len(seen)) if no_better(scores[:n], patience)), len(seen))
    return ends, max(seen[:ends], key=lambda one: one.measures["score"])


def compare(base: BaseModel, sitting: Sitting, recipe: Recipe, seed: int) -> dict[str, Figures]:
    """Learn a character; measure it at the end and as it would have been kept."""
    identifier = choose(base.tokenizer, sitting.noun)
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{k}.png" for k in range(len(sitting.photos))]
        for image, path in zip(sitting.photos, paths, strict=True):
            image.save(path)
        class_set, subject = Path(folder) / "class", Subject(paths, sitting.noun, identifier)
        classes.draw_class_set(base, sitting.noun, recipe, class_set, lambda *_: None)
        eye, how = ToyworldEye(), (recipe.sample_steps, recipe.sample_guidance)
        all_kept = recipe.model_copy(update={"choose": True})
        examiner = Examiner(base, eye, subject, steps=how[0], guidance=how[1])
        timed = Timed(Candidates(base, all_kept, examiner))
        learned = learn(base, subject, classes.read_class_set(class_set), recipe, seed, timed.after)
    seen, fixed_s = timed.candidates.seen, timed.at_s[-1][0]
    ends, best = kept(seen, recipe.patience)
    same = best is seen[-1]
    fixed = sitting.figures(learned.denoiser, identifier)
    chosen = fixed if same else sitting.figures(timed.candidates.denoiser_of(best), identifier)
    scores = {f"score at {one.step}": one.measures["score"] for one in seen}
    return {
        "fixed": {**fixed, "kept": seen[-1].step, "steps": seen[-1].step, "seconds": round(fixed_s, 1)},
        "kept": {
            **chosen,
            "kept": best.step,
            "steps": seen[ends - 1].step,
            "seconds": round(sum(timed.at_s[ends - 1]), 1),
        },
        "scores": scores,
    }


def main() -> None:
    """Compare for all characters and print what came of it as JSON."""
    parser = argparse.ArgumentParser(prog="python -m trainer.toyworld.ending", description="Where to end a training.")
    parser.add_argument("--seeds", type=int, default=1, help="how often each character is learned, from other chance")
    parser.add_argument("--of", nargs="*", default=[noun for noun, _ in CHARACTERS], help="which characters")
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=NUMBER", help="changes of the recipe")
    given = parser.parse_args()
    base, judge = load_base("toyworld"), load_judge()
    changes = {name: json.loads(value) for name, _, value in (change.partition("=") for change in given.set)}
    recipe = recipe_for(base.folder, **changes)
    rows: list[dict[str, Figures]] = []
    for noun, character in CHARACTERS:
        if noun not in given.of:
            continue
        sitting = Sitting(base, judge, noun, character)
        for seed in range(given.seeds):
            rows.append(compare(base, sitting, recipe, seed))
            print(json.dumps({"character": sitting.name, "seed": seed, **rows[-1]}), flush=True)  # noqa: T201
    print(json.dumps({end: means([row[end] for row in rows]) for end in ("fixed", "kept")}, indent=1))  # noqa: T201


if __name__ == "__main__":
    main()

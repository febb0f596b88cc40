"""Prior preservation in three ways, at equal time: class images, the base model as teacher, nothing.

    python -m research.toyworld.prior [--seeds 3] [--methods lora full] [--of dog cat …] [--most 3] [--limit 60]

Each character is learned by the shipped recipe until it is ready, which early stopping decides, or time is up. Times
are CPU seconds of one thread, with candidates and class images. Results are appended to a file one by one; run again,
it goes on with those that are not there yet, and ends with a table of the means of all.
"""

import argparse
import itertools
import json
import tempfile
import time
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import torch

from research.toyworld.evaluate import means
from research.toyworld.single_subject import CHARACTERS, CharacterFixture, Figures, class_latents_of
from storage.contract.recipe import Prior
from trainer.dreambooth.candidates import Candidates, CandidateSnapshot, should_stop_early
from trainer.dreambooth.dataset import SubjectSpec
from trainer.dreambooth.report_card import SubjectEvaluator
from trainer.dreambooth.train import Step, learn
from trainer.metrics.embedders import ToyworldEmbedder
from trainer.models.base import BaseModel, load_base
from trainer.models.default_recipe import recipe_for
from trainer.models.rare_tokens import choose
from trainer.steps import run_to_end
from trainer.toyworld.judge import load_judge

PRIORS: tuple[Prior, ...] = ("class_set", "teacher", "none")
DRAWN_BEFORE = "class_set, drawn before"  # the same training, without the time of the class images
COLUMNS = ("likeness", "portrait", "place", "hijacked", "pres", "div", "kept", "ready", "seconds")


class Trial(NamedTuple):
    """One training of one character."""

    seed: int
    noun: str
    character: int
    method: str
    prior: Prior
    weight: float


class Timed:
    """Keeps the candidates of a training with the time at which each was there, until it is ready or time is up."""

    def __init__(self, candidates: Candidates, began_s: float, limit_s: float) -> None:
        self.candidates, self.began_s, self.limit_s = candidates, began_s, limit_s
        self.at_s: list[float] = []  # of each candidate
        self.ready = False

    def after(self, step: Step) -> bool:
        """Keep a candidate if it is time for one; tell whether this is the end."""
        seen = self.candidates.seen
        before = len(seen)
        run_to_end(self.candidates.after(step.training))
        now_s = time.process_time() - self.began_s
        self.at_s += [now_s] * (len(seen) - before)
        scores = [one.measures["score"] for one in seen]
        self.ready = bool(scores) and should_stop_early(scores, self.candidates.recipe.patience)
        return self.ready or now_s >= self.limit_s

    def best(self, within_s: float) -> CandidateSnapshot | None:
        """The best candidate that was there in time, or the first of all; None if there was none."""
        seen = self.candidates.seen
        there = [one for one, at_s in zip(seen, self.at_s, strict=True) if at_s <= within_s] or seen[:1]
        return max(there, key=lambda one: one.measures["score"], default=None)


def run(base: BaseModel, sitting: CharacterFixture, trial: Trial, limit_s: float) -> list[Figures]:
    """Learn a character and measure it; with class images also as if these had been there before."""
    weight: dict[str, float] = {} if trial.prior == "none" else {"prior_weight": trial.weight}
    recipe = recipe_for(base.folder, method=trial.method, prior=trial.prior, **weight)
    identifier = choose(base.rare_words, sitting.noun)
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{k}.png" for k in range(len(sitting.photos))]
        for image, path in zip(sitting.photos, paths, strict=True):
            image.save(path)
        subject = SubjectSpec(paths, sitting.noun, identifier)
        how: dict[str, Any] = {"steps": recipe.sample_steps, "guidance": recipe.sample_guidance}
        evaluator = SubjectEvaluator(base, ToyworldEmbedder(), subject, **how)
        all_kept = recipe.model_copy(update={"choose": True})
        began_s = time.process_time()
        latents = class_latents_of(base, sitting.noun, recipe, Path(folder))
        class_s = time.process_time() - began_s if trial.prior == "class_set" else 0.0
        timed = Timed(Candidates(base, all_kept, evaluator), began_s, limit_s + class_s)
        learned = learn(base, [(subject, latents)], recipe, trial.seed, timed.after)
        took_s = time.process_time() - began_s

    @cache
    def figures(step: int | None) -> Figures:
        one = next((one for one in timed.candidates.seen if one.step == step), None)
        return sitting.figures(timed.candidates.denoiser_of(one) if one else learned.denoiser, identifier)

    rows = []
    for prior, lead_s in [(trial.prior, 0.0), (DRAWN_BEFORE, class_s)][: 2 if class_s else 1]:
        best, own_s = timed.best(limit_s + lead_s), took_s - lead_s
        ends = {"kept": best.step if best else 0, "steps": len(learned.losses), "seconds": min(own_s, limit_s)}
        ready = timed.ready and own_s <= limit_s
        measured = figures(best.step if best else None)
        rows.append({**trial._asdict(), "prior": prior, **measured, **ends, "ready": ready, "class_s": class_s})
    return rows


def table(rows: list[Figures]) -> str:
    """The means of each method and prior as rows of Markdown."""
    lines = [f"| method | prior | trainings | {' | '.join(COLUMNS)} |", "|---" * (len(COLUMNS) + 3) + "|"]
    for method, prior, weight in dict.fromkeys((row["method"], row["prior"], row["weight"]) for row in rows):
        of = [row for row in rows if (row["method"], row["prior"], row["weight"]) == (method, prior, weight)]
        mean = means([{name: float(row[name]) for name in COLUMNS} for row in of])
        called = prior if weight == 1 else f"{prior}, weight {weight:g}"
        lines.append(f"| {method} | {called} | {len(of)} | {' | '.join(f'{mean[name]:.2f}' for name in COLUMNS)} |")
    return "\n".join(lines)


def main() -> None:
    """Run what is missing and print the table."""
    parser = argparse.ArgumentParser(prog="python -m research.toyworld.prior", description="Priors at equal time.")
    parser.add_argument("--seeds", type=int, default=3, help="how often each character is learned, from other chance")
    parser.add_argument("--of", nargs="*", default=[noun for noun, _ in CHARACTERS], help="which characters")
    parser.add_argument("--methods", nargs="*", default=["lora", "full"], help="lora, full or both")
    parser.add_argument("--priors", nargs="*", default=list(PRIORS), choices=PRIORS, help="which of the three")
    parser.add_argument("--weight", type=float, default=1.0, help="prior_weight")
    parser.add_argument("--limit", type=float, default=60.0, help="CPU seconds that a training may take")
    parser.add_argument("--most", type=int, help="trainings to do before it ends")
    parser.add_argument("--out", type=Path, default=Path("build/prior.jsonl"), help="file of results")
    given = parser.parse_args()
    torch.set_num_threads(1)
    given.out.parent.mkdir(parents=True, exist_ok=True)
    rows = [json.loads(line) for line in given.out.read_text().splitlines()] if given.out.exists() else []
    characters = [(noun, number) for noun, number in CHARACTERS if noun in given.of]
    trials = [
        Trial(seed, noun, number, method, prior, given.weight)
        for seed, (noun, number), method, prior in itertools.product(
            range(given.seeds), characters, given.methods, given.priors
        )
    ]
    missing = [trial for trial in trials if not any(_is_of(row, trial) for row in rows)][: given.most]
    base, judge = load_base("toyworld"), load_judge()
    fixture = cache(lambda noun, number: CharacterFixture(base, judge, noun, number))
    for trial in missing:
        done = run(base, fixture(trial.noun, trial.character), trial, given.limit)
        with given.out.open("a") as file:
            file.writelines(json.dumps(row) + "\n" for row in done)
        rows += done
    print(table(rows))  # noqa: T201


def _is_of(row: Figures, trial: Trial) -> bool:
    return all(row[name] == value for name, value in trial._asdict().items())


if __name__ == "__main__":
    main()

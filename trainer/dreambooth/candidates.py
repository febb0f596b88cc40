"""Candidates: a subject as it is at several points of a training, of which the best is kept, or a person chooses.

More steps make a subject more like its photos, until they begin to cost it its surroundings and its class the other
individuals. Where that begins differs from subject to subject, so it is measured as the training goes along.
"""

from dataclasses import dataclass, replace

import torch
from PIL import Image
from torch import Tensor

from storage.contract.recipe import Recipe
from trainer.diffusion.row_adapters import Drawer, RowNetwork
from trainer.dreambooth.divergence import Diverged
from trainer.dreambooth.eval_schedule import plan_evaluations
from trainer.dreambooth.lora import is_lora
from trainer.dreambooth.report_card import GLANCE, MultiSubjectEvaluator, SubjectEvaluator
from trainer.dreambooth.train import Training, TrainingResult
from trainer.dreambooth.weights import adapter_of, half_precision, put
from trainer.models.base import BaseModel
from trainer.models.finite import not_finite
from trainer.steps import Steps

LEARNED, PERFECT = 0.5, 0.9  # scores below which there is always hope, and above which there is little to gain


@dataclass(frozen=True)
class CandidateSnapshot:
    """A subject at one step: how good it was found, and its weights as they would be saved, unless given up."""

    step: int
    measures: dict[str, float]
    weights: dict[str, Tensor] | None


def should_stop_early(scores: list[float], patience: int) -> bool:
    """Whether a training may end: the best is near perfect, or `patience` candidates were no better; 0: never.

    One that has not come to anything goes on: some subjects take several times as long as others.
    """
    before, best = scores[:-patience], max(scores)
    no_better = bool(before) and max(scores[-patience:]) <= max(before)
    return bool(patience) and (best >= PERFECT or (best >= LEARNED and no_better))


class Candidates:
    """The candidates of one training. Without an evaluator none is better than another, and the last one counts."""

    def __init__(
        self, base: BaseModel, recipe: Recipe, evaluator: SubjectEvaluator | MultiSubjectEvaluator | None
    ) -> None:
        self.base, self.recipe, self.evaluator = base, recipe, evaluator
        subjects = len(evaluator.evaluators) if isinstance(evaluator, MultiSubjectEvaluator) else 1
        first_looks = base.family.references > 0
        self.looks = plan_evaluations(recipe, evaluator is not None, subjects, base.device.type, first_looks)
        self.wanted = self.looks.candidates
        self.seen: list[CandidateSnapshot] = []
        self.ended_by: Diverged | None = None  # what cut the training short, the best so far being kept

    @property
    def glanced(self) -> list[list[Image.Image]]:
        """What was seen of the newest one, in rows; nothing where nobody looked."""
        return self.evaluator.glanced if self.evaluator else []

    @property
    def best(self) -> CandidateSnapshot | None:
        """The one with the highest score, the latest without an evaluator; None where there was but one way to end."""
        return max(self.seen, key=lambda one: one.measures.get("score", one.step), default=None)

    def after(self, training: Training) -> Steps[bool]:
        """Keep a candidate if it is time for one; tell whether it is enough: none has been better for a while.

        Raises Diverged if there is nothing to keep any more.
        """
        if training.taken not in self.wanted:
            return False
        with training.drawing() as denoiser:
            # Before pictures are drawn of it, which would take their time and then fail.
            weights = half_precision(denoiser, self.base.denoiser)
            if not_finite(weights.items()):
                raise Diverged(f"What is learned stopped being numbers at step {training.taken}")
            measures = (yield from self.evaluator.glance(denoiser)) if self.evaluator else {}
            self.seen.append(CandidateSnapshot(training.taken, measures, weights))
        if self.recipe.choose:
            return False
        best = self.best
        # Each has weights as large as a subject's file: without people to choose, only the best one's are worth
        # memory.
        self.seen = [one if one is best else replace(one, weights=None) for one in self.seen]
        return should_stop_early([one.measures["score"] for one in self.seen], self.recipe.patience)

    def end_by(self, divergence: Diverged) -> bool:
        """End a diverged training with the best candidate so far; raises the divergence if there is none."""
        if self.best is None:
            raise divergence
        self.ended_by = divergence
        return True

    def weights(self, learned: TrainingResult) -> dict[str, Tensor]:
        """What becomes the subject, as it is saved: the best candidate, or simply what was learned.

        Raises Diverged if that is not finite.
        """
        best = self.best
        if best and best.weights is not None:
            return best.weights
        weights = half_precision(learned.denoiser, self.base.denoiser)
        if not_finite(weights.items()):
            raise Diverged("What was learned is not all numbers")
        return weights

    def denoiser(self, learned: TrainingResult) -> Drawer:
        """A denoiser with the candidate's weights, for drawing."""
        best = self.best
        return learned.denoiser if best is None or best.step == len(learned.losses) else self.denoiser_of(best)

    def denoiser_of(self, candidate: CandidateSnapshot) -> Drawer:
        """A candidate to be drawn with; where it is LoRA, beside the base model's weights."""
        assert candidate.weights is not None
        if is_lora(candidate.weights) and (adapter := adapter_of(candidate.weights, self.base.denoiser)):
            return RowNetwork(self.base.denoiser).adapted(adapter)
        denoiser = self.base.denoiser.copy()
        put(candidate.weights, denoiser, self.base.denoiser)
        return denoiser

    def state(self) -> dict[str, Tensor]:
        """What a checkpoint is to hold of them, by name."""
        # A checkpoint holds tensors alone, so measures go into one by their order in GLANCE, NaN where none was
        # taken.
        numbers = [
            [one.step, one.weights is not None, *(one.measures.get(name, torch.nan) for name in GLANCE)]
            for one in self.seen
        ]
        tensors = {f"candidate.{c.step}.{name}": w for c in self.seen for name, w in (c.weights or {}).items()}
        return {"candidates": torch.tensor(numbers, dtype=torch.float64), **tensors}

    def load(self, state: dict[str, Tensor]) -> None:
        """Restore what `state` returned."""
        weights: dict[int, dict[str, Tensor]] = {}
        for key, value in state.items():
            if key.startswith("candidate."):
                _, step, name = key.split(".", 2)
                weights.setdefault(int(step), {})[name] = value
        for step, has_weights, *numbers in state["candidates"].tolist():
            measures = dict(zip(GLANCE, numbers, strict=True)) if self.evaluator else {}
            of_step = weights.get(int(step), {})  # of one that had learned nothing there is nothing to keep
            self.seen.append(CandidateSnapshot(int(step), measures, of_step if has_weights else None))

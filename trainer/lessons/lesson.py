"""A lesson: one training as the engine gives it, with all that follows from what was asked for."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from storage.recipe import Recipe
from trainer.dreambooth import Step
from trainer.lessons.candidates import Candidates
from trainer.lessons.divergence import LossCheck
from trainer.lessons.losses_told import LossesTold
from trainer.lessons.pupils import Pupil
from trainer.seam import Report, TrainTask
from trainer.training.checkpoint import Checkpointer
from trainer.training.material import Subject
from trainer.training.state import copied


@dataclass(frozen=True)
class Lesson:
    """One training: what was asked for, and what follows from it."""

    task: TrainTask
    recipe: Recipe
    pupils: list[Pupil]  # the subjects, mostly one
    checkpointer: Checkpointer
    candidates: Candidates
    losses: LossesTold
    check: LossCheck

    @property
    def subject(self) -> Subject:
        """The first of its subjects."""
        return self.pupils[0].subject

    @property
    def how(self) -> dict[str, Any]:
        """How its pictures are drawn."""
        return {"steps": self.recipe.sample_steps, "guidance": self.recipe.sample_guidance}

    @property
    def sampled(self) -> frozenset[int]:
        """The steps after which a sample is drawn."""
        return self.candidates.looks.samples

    def is_validated(self, step: int) -> bool:
        """Whether the loss on what is held back is measured after a step."""
        every = self.recipe.validate_every
        return bool(every) and step % every == 0

    def is_waited_for(self, step: int) -> bool:
        """Whether something is measured or drawn after a step, or it is the last."""
        return self.is_validated(step) or step in self.sampled or step == self.recipe.steps

    def copied(self, step: Step) -> dict[str, Tensor]:
        """A copy of all that a checkpoint holds."""
        return {**copied(step.training), **self.candidates.state()}

    def report(self, step: int, **news: Any) -> Report:
        """Say that the training is at a step."""
        return Report(job=self.task.job, phase="learning", step=step, of=self.recipe.steps, **news)

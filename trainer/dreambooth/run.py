"""One training as the engine runs it, with all that follows from what was asked for."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from storage.contract.recipe import Recipe
from trainer.dreambooth.candidates import Candidates
from trainer.dreambooth.checkpoint import Checkpointer
from trainer.dreambooth.dataset import SubjectSpec
from trainer.dreambooth.divergence import LossCheck
from trainer.dreambooth.loss_readback import LossReadback
from trainer.dreambooth.state import copied
from trainer.dreambooth.subjects import TrainingSubject
from trainer.dreambooth.train import Step
from trainer.protocol import ProgressReport, TrainTask


@dataclass(frozen=True)
class TrainingRun:
    """One training: what was asked for, and what follows from it."""

    task: TrainTask
    recipe: Recipe
    subjects: list[TrainingSubject]  # the subjects, mostly one
    checkpointer: Checkpointer
    candidates: Candidates
    losses: LossReadback
    check: LossCheck

    @property
    def subject(self) -> SubjectSpec:
        """The first of its subjects."""
        return self.subjects[0].subject

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

    def report(self, step: int, **news: Any) -> ProgressReport:
        """Say that the training is at a step."""
        return ProgressReport(job=self.task.job, phase="learning", step=step, of=self.recipe.steps, **news)

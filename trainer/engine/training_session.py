"""What belongs to one training in the engine: what was asked for, and all that follows from it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from storage.contract.recipe import Recipe
from storage.errors import SetupError, UserError
from trainer.diffusion import sampling
from trainer.dreambooth.candidates import Candidates
from trainer.dreambooth.checkpoint import Checkpointer, read
from trainer.dreambooth.dataset import SubjectSpec
from trainer.dreambooth.divergence import LossCheck
from trainer.dreambooth.loss_readback import LossReadback, readback_delay
from trainer.dreambooth.state import copied
from trainer.dreambooth.subjects import TrainingSubject, digest, evaluator_of, training_subjects
from trainer.dreambooth.train import Training
from trainer.dreambooth.trainable import check_recipe
from trainer.dreambooth.training_log import Trackers, TrainingLog
from trainer.engine.distributed import EngineGroup
from trainer.engine.host import Host
from trainer.metrics.embedders import Embedder
from trainer.metrics.report_card import SubjectEvaluator
from trainer.protocol import ProgressReport, TrainTask


@dataclass(frozen=True)
class TrainingServices:
    """What all trainings of an engine share."""

    group: EngineGroup
    embedder: Embedder | None
    trackers: Trackers


@dataclass
class TrainingSession:
    """One training: what was asked for, and what follows from it."""

    task: TrainTask
    recipe: Recipe
    subjects: list[TrainingSubject]  # the subjects, mostly one
    checkpointer: Checkpointer
    candidates: Candidates
    losses: LossReadback
    check: LossCheck
    log: TrainingLog

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

    def begun(self) -> dict[str, Tensor] | None:
        """The checkpoint to go on from, if there is one that fits."""
        return read(Path(self.task.begun), self.checkpointer.of) if self.task.begun else None

    def copied(self, training: Training) -> dict[str, Tensor]:
        """A copy of all that a checkpoint holds."""
        return {**copied(training), **self.candidates.state()}

    def report(self, step: int, **news: Any) -> ProgressReport:
        """Say that the training is at a step."""
        return ProgressReport(job=self.task.job, phase="learning", step=step, of=self.recipe.steps, **news)


def open_session(task: TrainTask, host: Host, services: TrainingServices) -> TrainingSession:
    """All that a training needs beside the training itself; raises UserError if it cannot be shared out."""
    base, recipe = host.base, Recipe.model_validate(task.recipe)
    check_recipe(base, recipe)  # before class images are drawn for it
    try:
        services.group.check(recipe)
    except SetupError as error:
        raise UserError(str(error)) from None

    def evaluator(subject: SubjectSpec) -> SubjectEvaluator | None:
        if not services.embedder:
            return None
        how: dict[str, Any] = {"steps": recipe.sample_steps, "guidance": recipe.sample_guidance}
        return SubjectEvaluator(base, services.embedder, subject, 1 if task.gentle else sampling.BATCH, **how)

    def on_checkpoint(step: int, path: Path) -> None:
        session.log.wait()  # in the thread that writes checkpoints: the training goes on
        host.say(session.report(step, checkpoint=str(path)))

    subjects = training_subjects(task, base.rare_words, evaluator)
    # All that decides what a step does: a checkpoint of anything else is not continued.
    of = {"base": base.sha256, "recipe": recipe.model_dump_json(), "seed": str(task.seed)}
    of["class set"] = subjects[0].class_set_name
    if len(subjects) > 1:
        of["together"] = digest(subjects)
    session = TrainingSession(
        task,
        recipe,
        subjects,
        Checkpointer(Path(task.folder), task.checkpoint_s, of, on_checkpoint),
        Candidates(base, recipe, evaluator_of(subjects)),
        LossReadback(readback_delay(base.device)),
        LossCheck(),
        TrainingLog(),
    )
    return session

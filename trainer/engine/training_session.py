"""What belongs to one training in the engine: what was asked for, and all that follows from it."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
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
from trainer.dreambooth.multi_lora import MultiLora
from trainer.dreambooth.report_card import MultiSubjectEvaluator, SubjectEvaluator
from trainer.dreambooth.state import copied
from trainer.dreambooth.train import Training
from trainer.dreambooth.training_log import Trackers, TrainingLog
from trainer.engine.distributed import EngineGroup
from trainer.engine.host import Host
from trainer.metrics.embedders import Embedder
from trainer.models.default_recipe import check_recipe_here
from trainer.models.rare_tokens import choose
from trainer.protocol import ProgressReport, TrainTask


@dataclass(frozen=True)
class TrainingServices:
    """What all trainings of an engine share."""

    group: EngineGroup
    embedder: Embedder | None
    trackers: Trackers
    multi_lora: MultiLora
    class_sets_drawn: set[Path] = field(default_factory=set)  # at the moment, by whichever training


@dataclass(frozen=True)
class TrainingSubject:
    """One subject of a training."""

    subject: SubjectSpec
    class_set: Path | None  # None if the class is not preserved by one
    evaluator: SubjectEvaluator | None  # who measures what is learned, if anybody can
    references: tuple[Path, ...] = ()  # photos that it is drawn from where nothing is learned yet

    @property
    def class_set_name(self) -> str:
        """What hashes all that decides what is in its class set; empty without one."""
        return self.class_set.parent.name if self.class_set else ""


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
    check_recipe_here(recipe, base)  # before class images are drawn for it
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

    subjects = _training_subjects(task, base.rare_words, evaluator)
    # All that decides what a step does: a checkpoint of anything else is not continued.
    of = {"base": base.sha256, "recipe": recipe.model_dump_json(), "seed": str(task.seed)}
    if base.placement.weights != "plain":
        of["weights"] = base.placement.weights
    of["class set"] = subjects[0].class_set_name
    if len(subjects) > 1:
        of["together"] = _digest(subjects)
    session = TrainingSession(
        task,
        recipe,
        subjects,
        Checkpointer(Path(task.folder), task.checkpoint_s, of, on_checkpoint),
        Candidates(base, recipe, _evaluator_of(subjects)),
        LossReadback(readback_delay(base.device)),
        LossCheck(),
        TrainingLog(),
    )
    return session


def _training_subjects(
    task: TrainTask, words: Sequence[str], evaluator: Callable[[SubjectSpec], SubjectEvaluator | None]
) -> list[TrainingSubject]:
    """The subjects of a task, each with a word that no other has and its class set, if it needs one."""
    taken, subjects = list(task.taken), []
    for each in task.subjects:
        identifier = choose(words, each.subject, taken)
        class_set = Path(each.class_set) if each.class_set else None
        if task.gentle and each.class_set_gently and class_set and not class_set.exists():
            class_set = Path(each.class_set_gently)
        photos, wholes = [Path(photo) for photo in each.photos], tuple(map(Path, each.wholes))
        subject = SubjectSpec(photos, each.noun, identifier, each.captions, wholes)
        references = tuple(map(Path, each.references))
        subjects.append(TrainingSubject(subject, class_set, evaluator(subject), references))
        taken.append(identifier)
    return subjects


def _digest(subjects: Sequence[TrainingSubject]) -> str:
    """Hash of who is learned from what, by which a checkpoint of others is known."""
    parts = [
        [
            p.subject.noun,
            p.subject.identifier,
            p.class_set_name,
            *(photo.name for photo in p.subject.photos),
            *p.subject.captions,
        ]
        for p in subjects
    ]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _evaluator_of(subjects: Sequence[TrainingSubject]) -> SubjectEvaluator | MultiSubjectEvaluator | None:
    """The evaluator of all subjects; of one alone its own, None without an embedder."""
    evaluators = [each.evaluator for each in subjects if each.evaluator]
    if len(evaluators) < 2:
        return evaluators[0] if evaluators else None
    return MultiSubjectEvaluator(evaluators)

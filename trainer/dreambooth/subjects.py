"""Subjects of a training, one or several: their identifiers, prompts and class images."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

from PIL import Image

from trainer.dreambooth.dataset import SubjectSpec
from trainer.metrics.report_card import SubjectEvaluator
from trainer.models.denoiser import Denoiser
from trainer.models.rare_tokens import choose
from trainer.protocol import TrainTask
from trainer.steps import Steps


@dataclass(frozen=True)
class TrainingSubject:
    """One subject of a training."""

    subject: SubjectSpec
    class_set: Path | None  # None if the class is not preserved by one
    evaluator: SubjectEvaluator | None  # who measures what is learned, if anybody can

    @property
    def class_set_name(self) -> str:
        """What hashes all that decides what is in its class set; empty without one."""
        return self.class_set.parent.name if self.class_set else ""


def training_subjects(
    task: TrainTask, words: Sequence[str], evaluator: Callable[[SubjectSpec], SubjectEvaluator | None]
) -> list[TrainingSubject]:
    """The subjects of a task, each with a word that no other has and the class set that it is learned beside, if any."""
    taken, subjects = list(task.taken), []
    for each in task.subjects:
        identifier = choose(words, each.subject, taken)
        class_set = Path(each.class_set) if each.class_set else None
        if task.gentle and each.class_set_gently and class_set and not class_set.exists():
            class_set = Path(each.class_set_gently)
        photos, wholes = [Path(photo) for photo in each.photos], tuple(map(Path, each.wholes))
        subject = SubjectSpec(photos, each.noun, identifier, each.captions, wholes)
        subjects.append(TrainingSubject(subject, class_set, evaluator(subject)))
        taken.append(identifier)
    return subjects


def digest(subjects: Sequence[TrainingSubject]) -> str:
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


class MultiSubjectEvaluator:
    """Measures all who are learned together: a candidate is as good as they are on the whole."""

    def __init__(self, evaluators: Sequence[SubjectEvaluator]) -> None:
        self.evaluators = evaluators

    @property
    def glanced(self) -> list[list[Image.Image]]:
        """What each of their evaluators saw the last time, rows of pictures."""
        return [row for evaluator in self.evaluators for row in evaluator.glanced]

    def glance(self, denoiser: Denoiser) -> Steps[dict[str, float]]:
        """Means of what each of their evaluators measures at a glance."""
        seen = []
        for evaluator in self.evaluators:
            seen.append((yield from evaluator.glance(denoiser)))
        return {name: mean(each[name] for each in seen) for name in seen[0]}


def evaluator_of(subjects: Sequence[TrainingSubject]) -> SubjectEvaluator | MultiSubjectEvaluator | None:
    """The evaluator of all subjects; of one alone its own, None without an embedder."""
    evaluators = [each.evaluator for each in subjects if each.evaluator]
    if len(evaluators) < 2:
        return evaluators[0] if evaluators else None
    return MultiSubjectEvaluator(evaluators)

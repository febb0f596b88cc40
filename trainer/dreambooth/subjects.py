"""Who is learned in a training, one subject or several: which words mean them, what each is learned beside."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

from PIL import Image

from trainer.diffusion.sampling import OnStep
from trainer.dreambooth.dataset import SubjectSpec
from trainer.metrics.report_card import SubjectEvaluator
from trainer.models.denoiser import Denoiser
from trainer.models.rare_tokens import choose
from trainer.protocol import TrainTask


@dataclass(frozen=True)
class TrainingSubject:
    """One subject of a training."""

    subject: SubjectSpec
    class_set: Path
    examiner: SubjectEvaluator | None  # who measures what is learned, if anybody can


def training_subjects(
    task: TrainTask, words: Sequence[str], examiner: Callable[[SubjectSpec], SubjectEvaluator | None]
) -> list[TrainingSubject]:
    """The subjects of a task, each with a word that no other has and the class set that it is learned beside."""
    taken, subjects = list(task.taken), []
    for each in task.pupils:
        identifier = choose(words, each.subject, taken)
        class_set = Path(each.class_set)
        if task.gentle and each.class_set_gently and not class_set.exists():
            class_set = Path(each.class_set_gently)
        photos, wholes = [Path(photo) for photo in each.photos], tuple(map(Path, each.wholes))
        subject = SubjectSpec(photos, each.noun, identifier, each.captions, wholes)
        subjects.append(TrainingSubject(subject, class_set, examiner(subject)))
        taken.append(identifier)
    return subjects


def digest(pupils: Sequence[TrainingSubject]) -> str:
    """Hash of who is learned from what, by which a checkpoint of others is known."""
    parts = [
        [
            p.subject.noun,
            p.subject.identifier,
            p.class_set.parent.name,
            *(photo.name for photo in p.subject.photos),
            *p.subject.captions,
        ]
        for p in pupils
    ]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


class MultiSubjectEvaluator:
    """Measures all who are learned together: a candidate is as good as they are on the whole."""

    def __init__(self, examiners: Sequence[SubjectEvaluator]) -> None:
        self.examiners = examiners

    @property
    def glanced(self) -> list[list[Image.Image]]:
        """What each of their examiners saw the last time, rows of pictures."""
        return [row for examiner in self.examiners for row in examiner.glanced]

    def glance(self, denoiser: Denoiser, on_step: OnStep) -> dict[str, float]:
        """Means of what each of their examiners measures at a glance."""
        seen = [examiner.glance(denoiser, on_step) for examiner in self.examiners]
        return {name: mean(each[name] for each in seen) for name in seen[0]}


def evaluator_of(pupils: Sequence[TrainingSubject]) -> SubjectEvaluator | MultiSubjectEvaluator | None:
    """Who measures all of them: one alone by its own examiner; None where nobody can."""
    examiners = [pupil.examiner for pupil in pupils if pupil.examiner]
    if len(examiners) < 2:
        return examiners[0] if examiners else None
    return MultiSubjectEvaluator(examiners)

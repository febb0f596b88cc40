"""Who is learned in a training, one subject or several: which words mean them, what each is learned beside."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

from PIL import Image

from trainer.denoiser import Denoiser
from trainer.generate import OnStep
from trainer.judging.report_card import Examiner
from trainer.seam import TrainTask
from trainer.training.identifier import choose
from trainer.training.material import Subject


@dataclass(frozen=True)
class Pupil:
    """One subject of a training."""

    subject: Subject
    class_set: Path
    examiner: Examiner | None  # who measures what is learned, if anybody can


def pupils_of(task: TrainTask, words: Sequence[str], examiner: Callable[[Subject], Examiner | None]) -> list[Pupil]:
    """The subjects of a task, each with a word that no other has and the class set that it is learned beside."""
    taken, found = list(task.taken), []
    for each in task.pupils:
        identifier = choose(words, each.subject, taken)
        class_set = Path(each.class_set)
        if task.gentle and each.class_set_gently and not class_set.exists():
            class_set = Path(each.class_set_gently)
        photos, wholes = [Path(photo) for photo in each.photos], tuple(map(Path, each.wholes))
        subject = Subject(photos, each.noun, identifier, each.captions, wholes)
        found.append(Pupil(subject, class_set, examiner(subject)))
        taken.append(identifier)
    return found


def digest(pupils: Sequence[Pupil]) -> str:
    """Hash of who is learned from what, by which a checkpoint of others is known."""
    told = [
        [
            p.subject.noun,
            p.subject.identifier,
            p.class_set.parent.name,
            *(photo.name for photo in p.subject.photos),
            *p.subject.captions,
        ]
        for p in pupils
    ]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()


class Panel:
    """Measures all who are learned together: a candidate is as good as they are on the whole."""

    def __init__(self, examiners: Sequence[Examiner]) -> None:
        self.examiners = examiners

    @property
    def glanced(self) -> list[list[Image.Image]]:
        """What each of their examiners saw the last time, rows of pictures."""
        return [row for examiner in self.examiners for row in examiner.glanced]

    def glance(self, denoiser: Denoiser, on_step: OnStep) -> dict[str, float]:
        """Means of what each of their examiners measures at a glance."""
        seen = [examiner.glance(denoiser, on_step) for examiner in self.examiners]
        return {name: mean(each[name] for each in seen) for name in seen[0]}


def panel_of(pupils: Sequence[Pupil]) -> Examiner | Panel | None:
    """Who measures all of them: one alone by its own examiner; None where nobody can."""
    examiners = [pupil.examiner for pupil in pupils if pupil.examiner]
    if len(examiners) < 2:
        return examiners[0] if examiners else None
    return Panel(examiners)

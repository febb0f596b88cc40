"""Replies about jobs: what follows from a job's progress and outcome, as its kind has it. See `bot.kinds`."""

from collections.abc import Sequence

from bot.core.messages import Reply
from bot.kinds import PRESENTERS, presenter_of
from bot.kinds.presenter import PHASES
from bot.kinds.presenter import phase_in_words as phase_of_every_kind
from storage.contract.jobs import Job
from storage.contract.outcomes import Outcome
from storage.contract.progress import Progress
from storage.contract.subjects import Subject


def phase_in_words(phase: str) -> str:
    """Say what a job of any kind is at; a newer version may know more phases, whose names are words."""
    known = (presenter.phases[phase] for presenter in PRESENTERS.values() if phase in presenter.phases)
    return PHASES.get(phase) or next(known, phase_of_every_kind(phase))


def working(job: Job, progress: Progress) -> Reply:
    """Say where a job is."""
    return presenter_of(job).working(job, progress)


def finished(job: Job, outcome: Outcome, subjects: Sequence[Subject]) -> Reply:
    """Say how a job ended; `subjects` are those of its subjects that are not forgotten."""
    return presenter_of(job).finished(job, outcome, subjects)


def details(job: Job, outcome: Outcome, subjects: Sequence[Subject]) -> dict[str, str]:
    """Everything that made a result, for *details*."""
    return presenter_of(job).details(job, outcome, subjects)

"""How chats show the kinds of jobs, a module each. `storage.kinds` says how to add one."""

from typing import Any

from bot.kinds.ask import AskPresenter
from bot.kinds.imagine import ImaginePresenter
from bot.kinds.presenter import PHASES, JobPresenter
from bot.kinds.train import TrainPresenter
from storage.contract.jobs import Job

PRESENTERS: dict[str, JobPresenter[Any, Any]] = {
    "train": TrainPresenter(),
    "imagine": ImaginePresenter(),
    "ask": AskPresenter(),
}
_NEWER: JobPresenter[Any, Any] = JobPresenter()


def phase_in_words(phase: str) -> str:
    """Say what a job of any kind is at; a newer version may know more phases, whose names are words."""
    # The terminal's progress bar is told a phase, and not of which kind of job.
    words = {name: text for presenter in PRESENTERS.values() for name, text in presenter.phases.items()} | PHASES
    return words.get(phase, phase.capitalize())


def presenter_of(job: Job) -> JobPresenter[Any, Any]:
    """How a job is shown; plainly where only a newer version understands it."""
    return PRESENTERS.get(job.kind, _NEWER) if job.is_understood else _NEWER

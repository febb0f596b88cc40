"""What a chat has to know of a kind of job: what is said while it works, and when it has ended."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import ClassVar, Generic, TypeVar

from bot.core.dispatch import Dispatch
from bot.core.messages import Button, Reply
from storage.contract.jobs import NEWER_WORKER, Job
from storage.contract.outcomes import Outcome, Picture
from storage.contract.progress import Progress
from storage.contract.subjects import Subject
from storage.kinds import kind_of
from storage.text import duration, plural

J = TypeVar("J", bound=Job)
O = TypeVar("O", bound=Outcome)  # noqa: E741 (an outcome)

PHASES = {"queued": "Waiting for a worker", "loading": "Getting ready", "saving": "Saving"}  # of every kind
ENDINGS = ("done", "failed", "cancelled")  # a newer version may know more


class JobPresenter(Generic[J, O]):
    """How chats show one kind of job. A kind says what it makes in `done`; all else has a default."""

    phases: ClassVar[Mapping[str, str]] = {}  # what it is at, in words
    announced: ClassVar[bool] = False  # whether its end is told in a new message
    draws: ClassVar[bool] = False  # whether it makes pictures that a gallery shows, and that people delete one by one

    def note(self, job: J) -> str:
        """What stands before all that is said of the job."""
        return ""

    def pictures(self, outcome: O) -> tuple[Picture, ...]:
        """The pictures that an outcome has, if its kind makes any."""
        return ()

    def follow(self, dispatch: Dispatch, job: J) -> AsyncIterator[Progress | Outcome]:
        """Its progress whenever it changes, then its outcome; raises Missing if it is deleted."""
        return dispatch.follow(job)

    def live_text(self, job: J, progress: Progress) -> str:
        """What is shown of the work so far, below the line that says where it is."""
        return ""

    def working(self, job: J, progress: Progress) -> Reply:
        """Say where the job is."""
        lines = [self.with_note(job, f"{self.standing(progress, kind_of(job).unit)}."), self.live_text(job, progress)]
        cancel = Button(label="Cancel", command="dreambooth cancel", arguments={"job": job.id}, style="danger")
        return Reply(
            text="\n".join(filter(None, lines)),
            state="working",
            progress=progress,
            pictures=progress.samples,
            buttons=(cancel,),
            job=job.id,
        )

    def finished(self, job: J, outcome: O, subjects: Sequence[Subject]) -> Reply:
        """Say how the job ended; `subjects` are those of its subjects that are not forgotten."""
        if outcome.state == "done":
            return self.done(job, outcome, subjects)
        state = outcome.state if outcome.state in ENDINGS else "failed"
        text, pictures = self.with_note(job, outcome.message), self.pictures(outcome)
        return Reply(text=text, state=state, pictures=pictures, job=job.id)

    def done(self, job: J, outcome: O, subjects: Sequence[Subject]) -> Reply:
        """Say what it has made, with what people may do with that."""
        return Reply(
            text=self.with_note(job, outcome.message),
            picks=(details_button(job),),
            job=job.id,
            facts=self.details(job, outcome, subjects),
        )

    def details(self, job: J, outcome: O, subjects: Sequence[Subject]) -> dict[str, str]:
        """Everything that made a result, for *details*."""
        return {"job": job.id, "took": duration(outcome.seconds)} | subject_facts(subjects)

    def with_note(self, job: J, text: str) -> str:
        """A text with what stands before all that is said of the job."""
        return f"{self.note(job)} {text}".strip()

    def standing(self, progress: Progress, unit: str = "") -> str:
        """Where a job is, in a line; `unit` is what is counted of those ahead."""
        text = {**PHASES, **self.phases}.get(progress.phase, progress.phase.capitalize())
        if NEWER_WORKER in progress.obstacle:
            text = NEWER_WORKER.capitalize()
        elif progress.obstacle:
            text = f"Waiting: {progress.obstacle} at the moment"
        elif progress.place:
            ahead = plural(progress.place, unit) if unit else progress.place
            text = f"Waiting: {ahead} ahead of you"
        elif progress.of and progress.phase in ("loading", "saving"):
            text += f", {round(100 * progress.step / progress.of)} %"
        elif progress.of:
            text += f", {progress.step} of {progress.of}"
        if progress.left_s is not None:
            about = "about " if progress.phase == "queued" else ""
            text += f", {about}{duration(progress.left_s)} left"
        return text


def details_button(job: Job) -> Button:
    """The button that shows everything that made a result."""
    return Button(label="Details", command="details", arguments={"job": job.id})


def subject_facts(subjects: Sequence[Subject]) -> dict[str, str]:
    """What *details* say of the subjects of a job."""
    if not subjects:
        return {}
    return {
        "subject": ", ".join(f"{subject.name} ({subject.noun})" for subject in subjects),
        "identifier": ", ".join(subject.identifier for subject in subjects),
    }


def in_words(name: str) -> str:
    """The name of a setting as people read it."""
    return name.replace("_", " ")

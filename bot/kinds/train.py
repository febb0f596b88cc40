"""How chats show trainings."""

from collections.abc import AsyncIterator, Sequence

from bot.core.audience import place
from bot.core.dispatch import Dispatch
from bot.core.messages import Reply
from bot.kinds import report_card
from bot.kinds.candidate_choice import choice
from bot.kinds.first_look import LIVE, follow_with_first_look
from bot.kinds.imagine import subject_version
from bot.kinds.presenter import JobPresenter, details_button, subject_facts
from bot.kinds.subject_buttons import about_subjects, who_may_draw
from storage.contract.outcomes import Outcome, Picture, samples_until
from storage.contract.progress import Progress
from storage.contract.subjects import Subject
from storage.kinds.train import TrainedSubject, TrainJob, TrainOutcome
from storage.text import duration


class TrainPresenter(JobPresenter[TrainJob, TrainOutcome]):
    """What was learned, with advice, the choice between candidates, and buttons to draw it."""

    phases = {
        "class images": "Drawing class images",
        "learning": "Learning",
        "sampling": "Drawing sample pictures",
    }
    announced = True

    def note(self, job: TrainJob) -> str:
        """What was said of its photos when it was accepted."""
        return job.note

    def follow(self, dispatch: Dispatch, job: TrainJob) -> AsyncIterator[Progress | Outcome]:
        """Its progress, with its first look where it has one, then its outcome."""
        return follow_with_first_look(dispatch, job) if job.first_look else dispatch.follow(job)

    def live_text(self, job: TrainJob, progress: Progress) -> str:
        """That the pictures are a first look, while there are no others, or why there is none."""
        return str(progress.live.get(LIVE, ""))

    def pictures(self, outcome: TrainOutcome) -> tuple[Picture, ...]:
        """Its pictures."""
        return outcome.pictures

    def done(self, job: TrainJob, outcome: TrainOutcome, subjects: Sequence[Subject]) -> Reply:
        """Say what was learned, who may draw it, and what is to be chosen."""
        text, pictures = outcome.message, outcome.pictures
        buttons, compared = about_subjects(subjects), tuple[Picture, ...]()
        for subject in subjects:
            if learned := outcome.learned_of(subject.id):
                now = _at_the_end_of(job, subject, learned)
                advice = report_card.advice_on(now)
                about = f"{subject.name}: " if advice and len(subjects) > 1 else ""
                text = "\n".join(filter(None, (text, f"{about}{advice}", report_card.on_sources(now))))
                if open_choice := choice(now):
                    text = f"{text}\n{open_choice.text}"
                    buttons = (*open_choice.buttons, *buttons)
                    pictures = open_choice.pictures or pictures
                elif now.compared:
                    compared = (*compared, now.compared)
                else:
                    pictures = samples_until(pictures, now.kept_step)
        return Reply(
            text=self.with_note(job, "\n".join([text, *who_may_draw(subjects)])),
            place=place(subjects[0]) if len(subjects) == 1 else None,
            pictures=compared or pictures,
            buttons=buttons,
            picks=(details_button(job),),
            job=job.id,
            facts=self.details(job, outcome, subjects),
        )

    def details(self, job: TrainJob, outcome: TrainOutcome, subjects: Sequence[Subject]) -> dict[str, str]:
        """Method, steps, losses and the report card."""
        facts = {"job": job.id, "took": duration(outcome.seconds)}
        facts |= subject_facts(subjects) | subject_version(outcome.subject_version)
        if outcome.loss_first is not None and outcome.loss_last is not None:  # JSON has null for what is no number
            if outcome.first_step_s is not None:
                facts["first step after"] = duration(outcome.first_step_s)
            facts["method"] = str(outcome.settings.get("method", ""))
            facts |= {"steps": str(outcome.steps), "loss": f"{outcome.loss_first:.3f} → {outcome.loss_last:.3f}"}
        if outcome.validated:
            (_, instance, prior), (_, instance_last, prior_last) = outcome.validated[0], outcome.validated[-1]
            facts["validation loss"] = f"{instance:.3f} → {instance_last:.3f}"
            facts["validation loss of the class"] = f"{prior:.3f} → {prior_last:.3f}"
        for subject in subjects:
            # A later training has made a report card of its own, which says nothing of this one.
            if outcome.learned_of(subject.id) and subject.job == job.id:
                facts |= _card(subject, alone=len(subjects) == 1)
        return facts


def _card(subject: Subject, alone: bool) -> dict[str, str]:
    """Which candidate is kept of a subject, and its report card."""
    facts = {"kept candidate": f"after {subject.kept_step} steps"} if subject.kept_step else {}
    card = report_card.in_words(subject.metrics, subject.noun)
    return facts | {name if alone else f"{subject.name}: {name}": value for name, value in card.items()}


def _at_the_end_of(job: TrainJob, subject: Subject, learned: TrainedSubject) -> Subject:
    """The subject as a training made it, or as people chose it since; not as later trainings did."""
    if subject.job == job.id:
        return subject
    fields = ("photos_differ", "metrics", "kept_step", "first_look", "compared")
    then = {name: getattr(learned, name) for name in fields}
    return subject.model_copy(update={**then, "candidates": (), "state": "ready"})

"""Replies about jobs: every sentence and button that follows from a job's progress and outcome."""

from collections.abc import Sequence

from bot.commands import report_card
from bot.commands.candidate_choice import choice
from bot.core.audience import audience, place
from bot.core.messages import Button, Reply
from storage.contract.jobs import NEWER_WORKER, ImagineJob, Job, NewerJob, TrainJob
from storage.contract.outcomes import Outcome, TrainedSubject, samples_until
from storage.contract.progress import Progress
from storage.contract.subjects import Subject
from storage.text import duration, listed

PHASES = {
    "queued": "Waiting for a worker",
    "loading": "Getting ready",
    "class images": "Drawing class images",
    "learning": "Learning",
    "sampling": "Drawing sample pictures",
    "drawing": "Drawing",
    "saving": "Saving",
}
ENDINGS = ("done", "failed", "cancelled")  # a newer version may know more
FORGET_ALL = "Forget everything of yours? All your subjects, photos, prompts and pictures are deleted for good."
DELETE_ONE = "Delete this picture for good?"
FORGET = "Forget {name}? Its photos and everything learned from them are deleted for good."


def phase_in_words(phase: str) -> str:
    """Say what a job is at; a newer version may know more phases, whose names are words."""
    return PHASES.get(phase, phase.capitalize())


def working(job: Job, progress: Progress) -> Reply:
    """Say where a job is."""
    text = phase_in_words(progress.phase)
    if NEWER_WORKER in progress.obstacle:
        text = NEWER_WORKER.capitalize()
    elif progress.obstacle:
        text = f"Waiting: {progress.obstacle} at the moment"
    elif progress.place:
        text = f"Waiting: {progress.place} ahead of you"
    elif progress.of and progress.phase in ("loading", "saving"):
        text += f", {round(100 * progress.step / progress.of)} %"
    elif progress.of:
        text += f", {progress.step} of {progress.of}"
    if progress.left_s is not None:
        about = "about " if progress.phase == "queued" else ""
        text += f", {about}{duration(progress.left_s)} left"
    return Reply(
        text=_with_note(job, f"{text}."),
        state="working",
        progress=progress,
        pictures=progress.samples,
        buttons=(Button(label="Cancel", command="dreambooth cancel", arguments={"job": job.id}, style="danger"),),
        job=job.id,
    )


def finished(job: Job, outcome: Outcome, subjects: Sequence[Subject]) -> Reply:
    """Say how a job ended; `subjects` are those of its subjects that are not forgotten."""
    buttons: tuple[Button, ...] = ()
    if outcome.state == "done" and not isinstance(job, NewerJob):
        buttons = (
            _under_pictures(job, len(outcome.pictures)) if isinstance(job, ImagineJob) else about_subjects(subjects)
        )
    text, pictures = outcome.message, outcome.pictures
    for subject in subjects:
        if learned := outcome.learned_of(subject.id):
            now = _at_the_end_of(job, subject, learned)
            advice = report_card.advice_on(now)
            about = f"{subject.name}: " if advice and len(subjects) > 1 else ""
            text = f"{text}\n{about}{advice}".strip()
            if open_choice := choice(now):
                text = f"{text}\n{open_choice.text}"
                buttons = (*open_choice.buttons, *buttons)
                pictures = open_choice.pictures or pictures
            else:
                pictures = samples_until(pictures, now.kept_step)
    if isinstance(job, TrainJob) and outcome.state == "done":
        text = "\n".join([text, *who_may_draw(subjects)])
    return Reply(
        text=_with_note(job, text),
        place=place(subjects[0]) if len(subjects) == 1 and isinstance(job, TrainJob) else None,
        state=outcome.state if outcome.state in ENDINGS else "failed",
        pictures=pictures,
        grid=outcome.grid,
        buttons=buttons,
        picks=_picks(job, outcome) if outcome.state == "done" else (),
        job=job.id,
        facts=details(job, outcome, subjects) if outcome.state == "done" else {},
    )


def who_may_draw(subjects: Sequence[Subject]) -> list[str]:
    """A sentence for each subject that says who may draw it."""
    return [f"{subject.name} can be drawn by you and {audience(subject)}." for subject in subjects]


def _at_the_end_of(job: Job, subject: Subject, learned: TrainedSubject) -> Subject:
    """The subject as a training made it, or as people chose it since; not as later trainings did."""
    if subject.job == job.id:
        return subject
    fields = ("photos_differ", "metrics", "kept_step")
    then = {name: getattr(learned, name) for name in fields}
    return subject.model_copy(update={**then, "candidates": (), "state": "ready"})


def _with_note(job: Job, text: str) -> str:
    return f"{job.note} {text}" if isinstance(job, TrainJob) and job.note else text


def about_subject(subject: Subject) -> tuple[Button, ...]:
    """The buttons under a subject; only one that is ready can be drawn."""
    prompt = f"a [{subject.name}] {subject.noun} in Paris"
    name, home = {"name": subject.name}, home_of(subject)
    draw = Button(
        label="Imagine", command="imagine", arguments={"prompt": prompt}, style="primary", form=True, home=home
    )
    share = Button(label="Share", command="dreambooth share", arguments=name, form=True, home=home)
    return (*([draw] if subject.state == "ready" else []), show_button(subject), share, forget_button(subject))


def home_of(subject: Subject) -> str:
    """What the buttons about a subject go with."""
    return f"subjects/{subject.id}"


def about_subjects(subjects: Sequence[Subject]) -> tuple[Button, ...]:
    """The buttons under subjects that were learned together; those of one are as ever."""
    if len(subjects) < 2:
        return tuple(button for subject in subjects for button in about_subject(subject))
    prompt = listed([f"a [{s.name}] {s.noun}" for s in subjects])
    home = f"jobs/{subjects[0].job}"  # which goes when any of them is forgotten
    draw = Button(
        label="Imagine", command="imagine", arguments={"prompt": prompt}, style="primary", form=True, home=home
    )
    return (draw, *(show_button(subject, f"Show {subject.name}") for subject in subjects))


def show_button(subject: Subject, label: str = "Show") -> Button:
    """The button that shows a subject."""
    return Button(label=label, command="dreambooth show", arguments={"name": subject.name}, home=home_of(subject))


def _under_pictures(job: ImagineJob, count: int) -> tuple[Button, ...]:
    return (
        Button(label="Again", command="again", arguments={"job": job.id}, style="primary"),
        Button(label="Variations", command="variations", arguments={"job": job.id, "seed": str(job.seed)}),
        Button(label="Edit prompt", command="imagine", arguments={"like": job.id}, form=True),
        Button(
            label="Delete",
            command="delete",
            arguments={"job": job.id},
            style="danger",
            confirm=f"Delete all {count} pictures for good?" if count > 1 else DELETE_ONE,
        ),
    )


def _picks(job: Job, outcome: Outcome) -> tuple[Button, ...]:
    """What can be done with single pictures, and *Details*."""
    about = Button(label="Details", command="details", arguments={"job": job.id})
    if not isinstance(job, ImagineJob):
        return (about,)
    numbered = list(enumerate(outcome.pictures, 1))
    vary = [
        Button(label=f"V{k}", command="variations", arguments={"job": job.id, "seed": str(p.seed)}, group="Variations")
        for k, p in numbered
    ]
    full = [
        Button(label=f"Full {k}", command="full", arguments={"job": job.id, "number": str(k)}, group="Full size")
        for k, _ in numbered
    ]
    delete = [
        Button(
            label=f"Delete {k}",
            command="delete",
            arguments={"job": job.id, "seed": str(p.seed)},
            confirm=DELETE_ONE,
            group="Delete one",
        )
        for k, p in numbered
    ]
    return (about, *vary, *full, *(delete if len(delete) > 1 else ()))


def forget_button(subject: Subject) -> Button:
    """The button that forgets a subject, after asking."""
    return Button(
        label="Forget",
        command="dreambooth forget",
        arguments={"name": subject.name},
        style="danger",
        confirm=FORGET.format(name=subject.name),
        home=home_of(subject),
    )


def details(job: Job, outcome: Outcome, subjects: Sequence[Subject]) -> dict[str, str]:
    """Everything that made a result, for *details*."""
    facts = {"job": job.id, "took": duration(outcome.seconds)}
    if isinstance(job, ImagineJob):
        facts = {"prompt": job.prompt, "seeds": ", ".join(str(p.seed) for p in outcome.pictures), **facts}
        settings = {name: value for name, value in outcome.settings.items() if name != "seed" and value != ""}
        facts |= {in_words(name): str(value) for name, value in settings.items()}
    if subjects:
        facts["subject"] = ", ".join(f"{subject.name} ({subject.noun})" for subject in subjects)
        facts["identifier"] = ", ".join(subject.identifier for subject in subjects)
    if outcome.subject_version:
        facts["subject version"] = ", ".join(version[:12] for version in outcome.subject_version.split(", "))
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
        if outcome.learned_of(subject.id) and subject.job == job.id:
            if subject.kept_step:
                facts["kept candidate"] = f"after {subject.kept_step} steps"
            card = report_card.in_words(subject.metrics, subject.noun)
            facts |= {f"{subject.name}: {name}" if len(subjects) > 1 else name: said for name, said in card.items()}
    return facts


def in_words(name: str) -> str:
    """The name of a setting as people read it."""
    return name.replace("_", " ")

"""What people are told: every sentence and button that follows from a job's progress and outcome."""

from collections.abc import Sequence

from bot.answers import report_card
from bot.messages import Button, Reply
from storage.company import listed
from storage.jobs import ImagineJob, Outcome, Progress, TrainJob, until
from storage.subjects import Subject

PHASES = {
    "queued": "Waiting for a worker",
    "loading": "Getting ready",
    "class images": "Drawing class images",
    "learning": "Learning",
    "sampling": "Drawing sample pictures",
    "drawing": "Drawing",
    "saving": "Saving",
}
FORGET = "Forget {name}? Its photos and everything learned from them are deleted for good."


def working(job: TrainJob | ImagineJob, progress: Progress) -> Reply:
    """Say where a job is."""
    text = PHASES[progress.phase]
    if progress.obstacle:
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


def finished(job: TrainJob | ImagineJob, outcome: Outcome, subjects: Sequence[Subject]) -> Reply:
    """Say how a job ended; `subjects` are those of its subjects that are not forgotten."""
    buttons: tuple[Button, ...] = ()
    if outcome.state == "done":
        buttons = _under_pictures(job) if isinstance(job, ImagineJob) else about_subjects(subjects)
    text, pictures = outcome.message, outcome.pictures
    for subject in subjects:
        if learned := outcome.learned_of(subject.id):
            advice = report_card.advice(learned.metrics, subject.noun, len(subject.photos))
            about = f"{subject.name}: " if advice and len(subjects) > 1 else ""
            text = f"{text}\n{about}{advice}".strip()
            if subject.candidates and subject.job == job.id:
                text = (
                    f"{text}\nWhich one is it to be? Each row shows it after so many steps; the others will be deleted."
                )
                buttons = (*_choices(job, subject), *buttons)
                pictures = (subject.choices,) if subject.choices else pictures
            else:
                pictures = until(pictures, subject.kept_step if subject.job == job.id else learned.kept_step)
    return Reply(
        text=_with_note(job, text),
        state=outcome.state,
        pictures=pictures,
        grid=outcome.grid,
        buttons=buttons,
        picks=_picks(job, outcome) if outcome.state == "done" else (),
        job=job.id,
        facts=details(job, outcome, subjects) if outcome.state == "done" else {},
    )


def _with_note(job: TrainJob | ImagineJob, text: str) -> str:
    return f"{job.note} {text}" if isinstance(job, TrainJob) and job.note else text


def about_subject(subject: Subject) -> tuple[Button, ...]:
    """The buttons under a subject; only one that is ready can be drawn."""
    prompt = f"a [{subject.name}] {subject.noun} in Paris"
    name = {"name": subject.name}
    draw = Button(label="Imagine", command="imagine", arguments={"prompt": prompt}, style="primary", form=True)
    show = Button(label="Show", command="dreambooth show", arguments=name)
    share = Button(label="Share", command="dreambooth share", arguments=name, form=True)
    return (*([draw] if subject.state == "ready" else []), show, share, forget_button(subject))


def _choices(job: TrainJob | ImagineJob, subject: Subject) -> tuple[Button, ...]:
    """A button for each candidate; the one that was found best stands out."""
    return tuple(
        Button(
            label=f"{candidate.step} steps",
            command="choose",
            arguments={"job": job.id, "step": str(candidate.step)},
            style="primary" if candidate.weights_key == subject.weights_key else "plain",
            confirm=f"Delete all but {subject.name} after {candidate.step} steps?",
        )
        for candidate in subject.candidates
    )


def about_subjects(subjects: Sequence[Subject]) -> tuple[Button, ...]:
    """The buttons under subjects that were learned together; those of one are as ever."""
    if len(subjects) < 2:
        return tuple(button for subject in subjects for button in about_subject(subject))
    prompt = listed([f"a [{s.name}] {s.noun}" for s in subjects])
    draw = Button(label="Imagine", command="imagine", arguments={"prompt": prompt}, style="primary", form=True)
    show = [Button(label=f"Show {s.name}", command="dreambooth show", arguments={"name": s.name}) for s in subjects]
    return (draw, *show)


def _under_pictures(job: ImagineJob) -> tuple[Button, ...]:
    return (
        Button(label="Again", command="again", arguments={"job": job.id}, style="primary"),
        Button(label="Variations", command="variations", arguments={"job": job.id, "seed": str(job.seed)}),
        Button(label="Edit prompt", command="imagine", arguments={"like": job.id}, form=True),
        Button(
            label="Delete",
            command="delete",
            arguments={"job": job.id},
            style="danger",
            confirm="Delete these pictures for good?",
        ),
    )


def _picks(job: TrainJob | ImagineJob, outcome: Outcome) -> tuple[Button, ...]:
    """What can be done with single pictures, and *Details*."""
    about = Button(label="Details", command="details", arguments={"job": job.id})
    if isinstance(job, TrainJob):
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
    return (about, *vary, *full)


def forget_button(subject: Subject) -> Button:
    """The button that forgets a subject, after asking."""
    return Button(
        label="Forget",
        command="dreambooth forget",
        arguments={"name": subject.name},
        style="danger",
        confirm=FORGET.format(name=subject.name),
    )


def details(job: TrainJob | ImagineJob, outcome: Outcome, subjects: Sequence[Subject]) -> dict[str, str]:
    """Everything that made a result, for *details*."""
    facts = {"job": job.id, "took": duration(outcome.seconds)}
    if isinstance(job, ImagineJob):
        facts = {"prompt": job.prompt, "seeds": ", ".join(str(p.seed) for p in outcome.pictures), **facts}
        told = {name: value for name, value in outcome.settings.items() if name != "seed" and value != ""}
        facts |= {in_words(name): str(value) for name, value in told.items()}
    if subjects:
        facts["subject"] = ", ".join(f"{subject.name} ({subject.noun})" for subject in subjects)
        facts["identifier"] = ", ".join(subject.identifier for subject in subjects)
    if outcome.subject_version:
        facts["subject version"] = ", ".join(version[:12] for version in outcome.subject_version.split(", "))
    if outcome.loss_last is not None:
        if outcome.first_step_s is not None:
            facts["first step after"] = duration(outcome.first_step_s)
        facts["method"] = str(outcome.settings.get("method", ""))
        facts |= {"steps": str(outcome.steps), "loss": f"{outcome.loss_first:.3f} → {outcome.loss_last:.3f}"}
    if outcome.validated:
        (_, instance, prior), (_, instance_last, prior_last) = outcome.validated[0], outcome.validated[-1]
        facts["loss on what was held back"] = f"{instance:.3f} → {instance_last:.3f}"
        facts["the same of the class"] = f"{prior:.3f} → {prior_last:.3f}"
    for subject in subjects:
        if outcome.learned_of(subject.id) and subject.job == job.id:
            if subject.kept_step:
                facts["kept as after"] = f"{subject.kept_step} steps"
            card = report_card.in_words(subject.metrics, subject.noun)
            facts |= {f"{subject.name}: {name}" if len(subjects) > 1 else name: said for name, said in card.items()}
    return facts


def in_words(name: str) -> str:
    """The name of a setting as people read it."""
    return name.replace("_", " ")


def duration(seconds: float) -> str:
    """Say a length of time as people do.

    >>> duration(7.6), duration(95), duration(7300)
    ('8 s', '1 min 35 s', '2 h 2 min')
    """
    s = round(seconds)
    if s < 60:
        return f"{s} s"
    return f"{s // 60} min {s % 60} s" if s < 3600 else f"{s // 3600} h {s % 3600 // 60} min"


def plural(count: int, noun: str) -> str:
    """Count a noun.

    >>> plural(1, "photo"), plural(3, "photo")
    ('1 photo', '3 photos')
    """
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"

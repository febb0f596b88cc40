"""The buttons under subjects, and who may draw them, in words."""

from collections.abc import Sequence

from bot.core.audience import audience
from bot.core.messages import Button
from storage.contract.subjects import Subject
from storage.text import listed

FORGET_ALL = "Forget everything of yours? All your subjects, photos, prompts and pictures are deleted for good."
FORGET = "Forget {name}? Its photos and everything learned from them are deleted for good."


def who_may_draw(subjects: Sequence[Subject]) -> list[str]:
    """A sentence for each subject that says who may draw it."""
    return [f"{subject.name} can be drawn by you and {audience(subject)}." for subject in subjects]


def about_subject(subject: Subject) -> tuple[Button, ...]:
    """The buttons under a subject."""
    # With the class noun, as in the prompts of the training (DreamBooth, section 3.1).
    name, home = {"name": subject.name}, home_of(subject)
    draw = _draw_button(f"a [{subject.name}] {subject.noun} in Paris", home)
    share = Button(label="Share", command="dreambooth share", arguments=name, form=True, home=home)
    drawing = [draw, *source_buttons(subject)] if subject.is_drawable else []
    return (*drawing, show_button(subject), share, forget_button(subject))


def source_buttons(subject: Subject) -> tuple[Button, ...]:
    """The button that has a subject drawn from its photos alone, or as it was learned: whichever it is not now."""
    if subject.state != "ready" or not subject.has_photo_source:
        return ()
    source, label = ("training", "Draw as learned") if subject.is_drawn_from_photos else ("photos", "Draw from photos")
    given = {"name": subject.name, "source": source}
    return (Button(label=label, command="dreambooth use", arguments=given, home=home_of(subject)),)


def home_of(subject: Subject) -> str:
    """What the buttons about a subject go with."""
    return f"subjects/{subject.id}"


def about_subjects(subjects: Sequence[Subject]) -> tuple[Button, ...]:
    """The buttons under subjects that were learned together; those of one are as ever."""
    if len(subjects) < 2:
        return tuple(button for subject in subjects for button in about_subject(subject))
    prompt = listed([f"a [{s.name}] {s.noun}" for s in subjects])
    home = f"jobs/{subjects[0].job}"  # which goes when any of them is forgotten
    return (_draw_button(prompt, home), *(show_button(subject, f"Show {subject.name}") for subject in subjects))


def _draw_button(prompt: str, home: str) -> Button:
    arguments = {"prompt": prompt}
    return Button(label="Imagine", command="imagine", arguments=arguments, style="primary", form=True, home=home)


def show_button(subject: Subject, label: str = "Show") -> Button:
    """The button that shows a subject."""
    return Button(label=label, command="dreambooth show", arguments={"name": subject.name}, home=home_of(subject))


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

"""The choice between the candidates of a training, as people see it: what was measured, a sheet, a button for each."""

from typing import NamedTuple

from bot.core.messages import Button
from bot.kinds import report_card
from storage.contract.outcomes import Candidate, Picture
from storage.contract.subjects import Subject

ASKED = "Which candidate should be kept? Each row shows the subject after that many steps; the others will be deleted."
LEGEND = "Likeness: 0 is any other {noun}, 1 the photos. Drift: how far any {noun} has come to look like it."


class CandidateChoice(NamedTuple):
    """What to say, show and offer as long as nobody has chosen."""

    text: str
    pictures: tuple[Picture, ...]
    buttons: tuple[Button, ...]


def choice(subject: Subject) -> CandidateChoice | None:
    """The choice that a subject leaves open; None if it leaves none."""
    # Candidates are removed from the record with the choice, so an old message offers none.
    if not subject.candidates or not subject.job:
        return None
    buttons = tuple(_button(subject, subject.job, candidate) for candidate in subject.candidates)
    return CandidateChoice(_text(subject), (subject.choices,) if subject.choices else (), buttons)


def _text(subject: Subject) -> str:
    measured = {c.step: report_card.at_a_glance(c.measures, subject.noun) for c in subject.candidates}
    lines = [f"{step} steps: {measures}" for step, measures in measured.items() if measures]
    legend = [LEGEND.format(noun=subject.noun)] if lines else []
    return "\n".join([ASKED, *lines, *legend])


def _button(subject: Subject, job: str, candidate: Candidate) -> Button:
    """Chooses a candidate; the one that was found best stands out."""
    return Button(
        label=f"{candidate.step} steps",
        command="choose",
        arguments={"job": job, "step": str(candidate.step)},
        style="primary" if candidate.weights_key == subject.weights_key else "plain",
        confirm=f"Delete all but {subject.name} after {candidate.step} steps?",
    )

"""The choice between the candidates of a training: one becomes the subject, and the others go."""

from typing import Any

from storage.contract.outcomes import Candidate, samples_until
from storage.contract.subject_repository import Subjects
from storage.contract.subjects import Subject
from storage.errors import UserError


async def choose_candidate(subjects: Subjects, subject: Subject, job: str, step: int) -> Subject:
    """Make the candidate of `step` the subject; raises UserError where there is none to choose any more.

    Of two who choose at once the first is heard. Weights of the others are left to `settle`. Raises Missing if the
    subject is forgotten.
    """

    def chosen(record: Subject) -> Subject:
        if record.job != job or not record.candidates:
            raise UserError(f"{record.name} was chosen already, or trained again since.")
        for candidate in record.candidates:
            if candidate.step == step:
                return _as(record, candidate)
        steps = ", ".join(str(candidate.step) for candidate in record.candidates)
        raise UserError(f"There is no candidate of step {step}; there are {steps}.")

    return await subjects.change(subject.id, chosen)


def _as(subject: Subject, candidate: Candidate) -> Subject:
    """The subject as it was at that step, with what is known of it: the report card is of what was found best."""
    weights = {"weights_key": candidate.weights_key, "weights_sha256": candidate.weights_sha256}
    is_best = candidate.weights_key == subject.weights_key
    card: dict[str, Any] = {} if is_best else {"metrics": candidate.measures, "before_after": None, "compared": None}
    samples = samples_until(subject.samples, candidate.step)
    done = {
        "kept_step": candidate.step,
        "candidates": (),
        "choices": None,
        "samples": samples,
        "drawn_from": "training",
    }
    return subject.model_copy(update={**weights, **card, **done})

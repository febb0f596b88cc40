"""Which subjects can be in one picture: those that were learned together, and those whose LoRA can be added up.

A full training changes every weight in a way of its own, and two such ways at once make neither subject.
"""

from collections.abc import Sequence

from storage.contract.subjects import Subject
from storage.errors import UserError
from storage.text import listed

SUBJECTS_MOST = 5  # in one training, and in one prompt


def check_compatible(subjects: Sequence[Subject]) -> None:
    """Raise UserError, with what to do about it, unless one picture can have all of these subjects."""
    if len(subjects) > SUBJECTS_MOST:
        raise UserError(f"A prompt can name {SUBJECTS_MOST} subjects at most, not {len(subjects)}.")
    if len(subjects) > 1 and (unlearned := [s.name for s in subjects if s.state in ("learning", "failed")]):
        is_not = "is not" if len(unlearned) == 1 else "are not"
        raise UserError(f"{listed(unlearned)} {is_not} learned yet: until then a prompt can have one alone.")
    apart = {subject.weights_sha256: subject for subject in subjects}
    if len(apart) > 1 and (full := [s.name for s in apart.values() if s.method != "lora"]):
        names = [subject.name for subject in subjects]
        raise UserError(
            f"{listed(names)} cannot be in one picture as they were learned. Learn them together: "
            f"/dreambooth together {' '.join(names)}; or each with the method lora: "
            f"{listed([f'/dreambooth retrain {name} --set method=lora' for name in full])}."
        )
    for subject in subjects:
        same = [s.name for s in subjects if s.identifier == subject.identifier]
        if len(same) > 1:
            raise UserError(
                f"{listed(same)} have the same identifier in the model, so a prompt can name only one of them. "
                f"Train one of them again: /dreambooth retrain {same[-1]}."
            )

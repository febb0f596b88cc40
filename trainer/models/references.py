"""Whether a family draws from reference photos, and from how many. Without torch, for the worker."""

from storage.errors import UserError
from storage.text import plural
from trainer.models.family import Family


def check_references(family: Family, count: int) -> None:
    """Raise UserError where a drawing cannot refer to so many photos."""
    if count and not family.references:
        raise UserError(
            f"{family.name}, which is the base model here, cannot draw from photos alone: a subject has to be learned "
            "first."
        )
    if count > family.references:
        raise UserError(f"{family.name} draws from {plural(family.references, 'photo')} at most, not from {count}.")

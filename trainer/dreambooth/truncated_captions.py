"""Warnings about captions that are longer than the text encoder's context."""

from collections.abc import Sequence

from storage.contract.recipe import Recipe
from trainer.dreambooth.dataset import SubjectSpec
from trainer.dreambooth.prompts import photo_prompts, prompt_pairs
from trainer.models.base import BaseModel


def cut_captions(base: BaseModel, recipe: Recipe, subjects: Sequence[SubjectSpec]) -> str:
    """A sentence about captions that were cut; empty if none was, or if none was learned from."""
    cut = [unread for subject in subjects for unread in _unread(base, recipe, subject)] if recipe.captions else []
    if not cut:
        return ""
    which = "A caption is" if len(cut) == 1 else f"{len(cut)} captions are"
    ends = ", ".join(f"“{end}”" for end in cut[:3])
    return f"{which} too long for the model, which did not read the end: {ends}{' …' if len(cut) > 3 else '.'}"


def _unread(base: BaseModel, recipe: Recipe, subject: SubjectSpec) -> list[str]:
    """The ends of a subject's captions that do not fit beside its words, in the longest wording of their prompts."""
    if not any(subject.captions):
        return []
    wordings = [
        [base.unread(prompt) for prompt in photo_prompts(own, subject.noun, subject.captions)]
        for own, _ in prompt_pairs(subject.identifier, subject.noun, recipe.wordings)
    ]
    return [end for ends in zip(*wordings, strict=True) if (end := max(ends, key=len))]

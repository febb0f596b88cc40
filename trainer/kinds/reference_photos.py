"""The photos that a drawing refers to, where a subject is drawn from them and not by what was learned."""

import asyncio
from pathlib import Path
from typing import NamedTuple

from storage.contract.subject_repository import Subjects
from storage.contract.subjects import Subject
from storage.errors import Damaged, Missing, UserError
from storage.objects.store import Store
from storage.text import plural
from trainer.kinds.pictures import fetch_photo
from trainer.models.family import Family
from trainer.models.references import check_references
from trainer.worker.photo_diversity import most_different


class ReferencePhotos(NamedTuple):
    """Photos as files, and a sentence for people on which they are."""

    paths: tuple[str, ...]
    note: str


async def fetch_references(store: Store, subject: Subject, family: Family, folder: Path) -> ReferencePhotos:
    """Fetch a subject's photos, as many as the family draws from: rather those that differ.

    Photos that are gone or damaged are done without. Raises UserError where none is left, or the family takes none, and
    Missing if the subject is forgotten.
    """
    check_references(family, 1)
    photos = []
    for photo in subject.photos:
        try:
            photos.append(await fetch_photo(store, photo, folder))
        except (Missing, Damaged):
            continue
    if not photos:
        await Subjects(store).get(subject.id)
        raise UserError(
            f"None of the photos of {subject.name} can be read from the storage, so it cannot be drawn from them. "
            + (
                f"/dreambooth use {subject.name} training draws it as it was learned."
                if subject.weights_key
                else "Train it again."
            )
        )
    chosen = await asyncio.to_thread(most_different, photos, family.references)
    return ReferencePhotos(tuple(map(str, chosen)), _note(len(chosen), len(photos), len(subject.photos), family))


def _note(drawn_from: int, left: int, all_of_them: int, family: Family) -> str:
    """Say from which photos something is drawn."""
    sentence = f"Drawn from {plural(drawn_from, 'photo')} alone."
    if drawn_from < left:
        sentence += f" There are {left}, and {family.name} takes {family.references} at most."
    if gone := all_of_them - left:
        sentence += f" {plural(gone, 'photo')} could not be read from the storage."
    return sentence

"""Photos that a drawing refers to: as many as the family takes, without those that are gone, in words where none is."""

import hashlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from storage.contract.subject_repository import Subjects
from storage.contract.subjects import Photo, Subject
from storage.errors import Missing, UserError
from storage.objects.folder import FolderStore
from tests.conftest import photos_of_a_character
from trainer.kinds.reference_photos import fetch_references
from trainer.models.families import FAMILIES

KLEIN, NONE = (SimpleNamespace(name=name, references=count) for name, count in (("Klein", 3), ("Other", 0)))


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "store")


async def subject_of(store: FolderStore, *files: bytes) -> Subject:
    subject = Subject(space="here", owner="you", name="rex", noun="dog", base_model="micro")
    photos = []
    for number, data in enumerate(files):
        photo = Photo(
            key=f"subjects/{subject.id}/photos/{number}.png",
            sha256=hashlib.sha256(data).hexdigest(),
            name="rex.png",
            side_px=128,
        )
        await store.put(photo.key, data)
        photos.append(photo)
    await Subjects(store).add(subject := subject.model_copy(update={"photos": tuple(photos)}))
    return subject


async def fetched(store: FolderStore, subject: Subject, folder: Path, family: Any = KLEIN) -> tuple[list[bytes], str]:
    photos = await fetch_references(store, subject, family, folder)
    return [Path(path).read_bytes() for path in photos.paths], photos.note


async def test_all_are_referred_to_where_there_are_no_more_than_the_family_takes(
    store: FolderStore, tmp_path: Path
) -> None:
    files = [photo.data for photo in photos_of_a_character(3)]
    found, note = await fetched(store, await subject_of(store, *files), tmp_path)
    assert found == files and note == "Drawn from 3 photos alone."


async def test_of_more_those_that_differ_are_chosen_and_people_are_told(store: FolderStore, tmp_path: Path) -> None:
    one, two, three = (photo.data for photo in photos_of_a_character(3))
    found, note = await fetched(store, await subject_of(store, one, one + b"\0", two, three), tmp_path)
    assert found == [one, two, three]
    assert note.endswith("There are 4, and Klein takes 3 at most.")


async def test_one_that_is_gone_or_damaged_is_done_without(store: FolderStore, tmp_path: Path) -> None:
    files = [photo.data for photo in photos_of_a_character(3)]
    subject = await subject_of(store, *files)
    await store.delete(subject.photos[0].key)
    await store.put(subject.photos[1].key, b"torn")
    found, note = await fetched(store, subject, tmp_path)
    assert found == files[2:] and note.startswith("Drawn from 1 photo alone")
    assert note.endswith("2 photos could not be read from the storage.")


async def test_without_any_it_says_so_and_of_whom_is_forgotten_nothing(store: FolderStore, tmp_path: Path) -> None:
    subject = await subject_of(store, photos_of_a_character(1)[0].data)
    await store.delete(subject.photos[0].key)
    with pytest.raises(
        UserError, match="None of the photos of rex can be read from the storage, so it cannot be drawn"
    ):
        await fetched(store, subject, tmp_path)
    await Subjects(store).forget(subject)
    with pytest.raises(Missing):
        await fetched(store, subject, tmp_path)


async def test_a_family_without_references_is_refused_before_anything_is_fetched(
    store: FolderStore, tmp_path: Path
) -> None:
    subject = await subject_of(store, photos_of_a_character(1)[0].data)
    with pytest.raises(UserError, match=r"^Other, which is the base model here, cannot draw from photos alone: "):
        await fetched(store, subject, tmp_path / "folder", NONE)
    assert not (tmp_path / "folder").exists()


def test_every_family_says_how_many_it_takes() -> None:
    assert {family.name for family in FAMILIES if family.references} == {"FLUX.2 [klein]"}

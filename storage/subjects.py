"""Subjects: what was learned, for whom, from which photos; records in the object store."""

import hashlib
import time
from collections.abc import AsyncIterator, Callable
from typing import Literal

from pydantic import Field, ValidationError

from storage.errors import Missing, StoreError, UserError
from storage.files import Store
from storage.ids import new_id
from storage.jobs import Method, Picture, Record

SubjectState = Literal["learning", "ready", "failed"]


class Photo(Record):
    """A photo as prepared for training: square, upright, stripped of metadata."""

    key: str
    sha256: str
    name: str  # as the person called the file; for messages only
    side_px: int


class Subject(Record):
    """The record of one subject."""

    id: str = Field(default_factory=new_id)
    space: str
    owner: str
    name: str
    noun: str  # the class noun: "dog"
    identifier: str = ""  # the rare token; chosen by the trainer, which has the tokenizer
    base_model: str
    state: SubjectState = "learning"
    method: Method = "full"
    photos: tuple[Photo, ...] = ()
    weights_key: str | None = None
    weights_sha256: str | None = None
    recipe: dict[str, str | int | float | bool | None] = {}
    metrics: dict[str, float] = {}
    samples: tuple[Picture, ...] = ()
    job: str | None = None  # the training that made or is making it
    created_s: float = Field(default_factory=time.time)


def subject_key(subject: str) -> str:
    """Name of a subject's record."""
    return f"subjects/{subject}/subject.json"


def name_key(space: str, name: str) -> str:
    """Name of the object that reserves a name in a space; hashed, because people typed both."""
    digest = hashlib.sha256(f"{space}\n{name.casefold()}".encode()).hexdigest()
    return f"names/{hashlib.sha256(space.encode()).hexdigest()[:20]}/{digest[:40]}"


class Subjects:
    """The subjects in a store. Names are unique in a space, whoever comes first and however many ask at once."""

    def __init__(self, store: Store) -> None:
        self.store = store

    async def add(self, subject: Subject) -> None:
        """Store a new subject; raises UserError if its name is taken in its space."""
        if not await self.store.put_new(name_key(subject.space, subject.name), subject.id.encode()):
            raise UserError(f"There is already a subject called {subject.name} here. Choose another name.")
        await self.store.put(subject_key(subject.id), subject.model_dump_json().encode())

    async def get(self, subject: str) -> Subject:
        """Read a record; raises Missing if the subject was forgotten."""
        return _parsed((await self.store.get(subject_key(subject))).data)

    async def change(self, subject: str, change: Callable[[Subject], Subject]) -> Subject:
        """Apply `change` to a record, again if somebody else wrote it meanwhile; raises Missing if it is gone."""
        while True:
            data, tag = await self.store.get(subject_key(subject))
            changed = change(_parsed(data))
            if await self.store.replace(subject_key(subject), changed.model_dump_json().encode(), tag):
                return changed

    async def find(self, space: str, name: str) -> Subject | None:
        """The subject of that name in the space, if there is one."""
        try:
            return await self.get((await self.store.get(name_key(space, name))).data.decode())
        except Missing:
            return None

    async def in_space(self, space: str) -> list[Subject]:
        """All subjects of a space, newest first."""
        found = [s async for s in self._each() if s.space == space]
        return sorted(found, key=lambda s: s.created_s, reverse=True)

    async def forget(self, subject: Subject) -> list[str]:
        """Delete everything that belongs to a subject and free its name; return the names of what was deleted."""
        removed = await self.store.delete_prefix(f"subjects/{subject.id}/")
        await self.store.delete(name_key(subject.space, subject.name))
        return removed

    async def _each(self) -> AsyncIterator[Subject]:
        for key in await self.store.names("subjects/"):
            if key.endswith("/subject.json"):
                try:
                    yield _parsed((await self.store.get(key)).data)
                except Missing:  # forgotten while we looked
                    continue


def _parsed(data: bytes) -> Subject:
    try:
        return Subject.model_validate_json(data)
    except ValidationError as error:
        raise StoreError(f"A subject's record cannot be read: {error}") from error

"""Subjects: what was learned, for whom, from which photos; records in the object store."""

import asyncio
import hashlib
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Annotated, Literal

from pydantic import Field

from storage.contract.base import Record, Stored
from storage.contract.fields import MANY, NewerValues, ObjectName, ObjectNameOrEmpty, Part, PartOrEmpty
from storage.contract.jobs import Audience, Method, TrainJob
from storage.contract.outcomes import Candidate, Picture
from storage.contract.posted_messages import set_aside
from storage.contract.records import parsed, parsed_in_part
from storage.errors import Damaged, Missing, Newer, UserError
from storage.ids import is_id, new_id, ordered_s
from storage.objects.store import Store
from storage.text import fold

log = logging.getLogger(__name__)

NAMES = "names/"
ORDER_S = 0.001  # between two trainings of a subject at least
UNACCEPTED = "unaccepted"
SubjectState = Literal["learning", "ready", "failed"]
_STAND_INS = {
    "space": "",
    "owner": "",
    "name": "",
    "noun": "",
    "base_model": "",
    "state": "unknown",
    "shared": "private",
}


class Photo(Record):
    """A photo as prepared for training: square, upright, stripped of metadata; transparent where no subject is."""

    key: ObjectName
    sha256: Part
    name: str  # as the person called the file; for messages only
    side_px: int
    caption: str = ""  # what the person says is in it
    whole: ObjectNameOrEmpty = ""  # key of the photo as it was before it was cut square, if it was not square by then
    whole_sha256: PartOrEmpty = ""


class Subject(Stored):
    """The record of one subject."""

    id: Part = Field(default_factory=new_id)
    space: str
    owner: str
    name: str
    noun: str  # the class noun: "dog"
    identifier: str = ""  # the rare token; chosen by the trainer, which has the tokenizer
    base_model: str  # as the bot's settings name it
    base_revision: str = ""  # which one of that name it was trained on: the commit on the hub
    base_sha256: str = ""  # and what its files hash to
    state: Annotated[SubjectState, NewerValues] = "learning"
    method: Annotated[Method, NewerValues] | None = None  # None: not learned yet, and nobody asked for one
    photos: tuple[Photo, ...] = Field((), max_length=MANY)
    weights_key: ObjectName | None = None
    weights_sha256: Part | None = None
    recipe: dict[str, str | int | float | bool | None] = {}
    class_set: ObjectNameOrEmpty = ""  # name of the class images that it was learned beside
    photos_differ: int = 0  # how many of them are unlike all others; 0: it is not known
    metrics: dict[str, float] = {}  # of its report card, or of a glance at the candidate that people chose
    samples: tuple[Picture, ...] = Field((), max_length=MANY)
    before_after: Picture | None = None  # the plain class, before and after it was learned
    kept_step: int = 0  # of its training; 0: it is not known
    candidates: tuple[Candidate, ...] = ()  # what people may still choose from, itself among them
    choices: Picture | None = None  # of them
    shared: Annotated[Audience, NewerValues] = "space"  # who may see and draw it beside its owner
    shared_with: str = ""  # the channel, or the Discord role or Slack user group
    job: str | None = None  # the training that made or is making it
    learned_s: float = 0.0  # when the training was accepted that it was learned in
    created_s: float = Field(default_factory=ordered_s)
    asked_s: float = 0.0  # when the newest training of it was accepted


def subject_key(subject: str) -> str:
    """Name of a subject's record."""
    return f"subjects/{subject}/subject.json"


def unaccepted_key(subject: str) -> str:
    """Name of the mark on a new subject whose training is not accepted yet; it holds the id of the job to be."""
    return f"subjects/{subject}/{UNACCEPTED}"


def checkpoint_prefix(subject: str, job: str) -> str:
    """Prefix of the checkpoints of a training."""
    return f"subjects/{subject}/checkpoints/{job}/"


def logs_prefix(subject: str) -> str:
    """Prefix of what TensorBoard shows of trainings of a subject, each below its own id."""
    return f"subjects/{subject}/logs/"


def weights_prefix(subject: str) -> str:
    """Prefix of what trainings learned of a subject, each below its own id; the record says which counts."""
    return f"subjects/{subject}/weights/"


def samples_prefix(subject: str) -> str:
    """Prefix of the sample pictures of trainings with others, each below its own id; of one alone its job has them."""
    return f"subjects/{subject}/samples/"


def name_prefix(space: str) -> str:
    """Prefix of the names that are taken in a space; hashed, like the names, because people typed it."""
    return f"{NAMES}{hashlib.sha256(space.encode()).hexdigest()[:20]}/"


def name_key(space: str, name: str) -> str:
    """Name of the object that reserves a name in a space, and holds the id of its subject."""
    digest = hashlib.sha256(f"{space}\n{fold(name)}".encode()).hexdigest()
    return f"{name_prefix(space)}{digest[:40]}"


class Subjects:
    """The subjects in a store. Names are unique in a space, whoever comes first and however many ask at once."""

    def __init__(self, store: Store) -> None:
        self.store = store

    async def add(self, subject: Subject) -> None:
        """Store a new subject; raises UserError if its name is taken in its space."""
        await self.store.put(subject_key(subject.id), subject.model_dump_json().encode())
        if not await self._take_name(subject):
            await self.store.delete(subject_key(subject.id))
            raise UserError(f"There is already a subject called {subject.name} here. Choose another name.")

    async def _take_name(self, subject: Subject) -> bool:
        key, owner = name_key(subject.space, subject.name), subject.id
        while not await self.store.put_new(key, owner.encode()):
            try:
                holder, tag = await self._holder(key)
            except Missing:  # freed just now
                continue
            except Damaged:
                await self.mend_name(key)
                continue
            if holder == owner:  # added twice: the first answer was lost
                return True
            # a record is there before its name and goes before it: without one, a forgetting was cut short
            if holder and await self.store.exists(subject_key(holder)):
                return False
            if await self.store.replace(key, owner.encode(), tag):
                return True
        return True

    async def _free_name(self, subject: Subject) -> None:
        """Free the name of a subject, unless it is another's: who comes takes it as soon as the record is gone."""
        key = name_key(subject.space, subject.name)
        with suppress(Missing, Damaged):
            holder, tag = await self._holder(key)
            if holder == subject.id:
                await self.store.vacate(key, tag)

    async def _holder(self, key: str) -> tuple[str, str]:
        """The id of the subject that holds a name, empty if it is free, and the tag; raises Missing and Damaged."""
        data, tag = await self.store.get(key)
        holder = data.decode(errors="replace")
        if holder and not is_id(holder):
            raise Damaged(f"The object {key!r} is damaged: it holds no id.")
        return holder, tag

    async def holder(self, key: str) -> str:
        """The id of the subject that holds a name; empty if it is free, or the object is damaged."""
        with suppress(Missing, Damaged):
            return (await self._holder(key))[0]
        return ""

    async def get(self, subject: str) -> Subject:
        """Read a record; raises Missing if the subject was forgotten.

        One that a newer version wrote in another way is nobody's, and nobody sees it, as far as it does not tell.
        """
        parse = partial(parsed_in_part, stand_ins={**_STAND_INS, "id": subject})
        return self._checked(parse, subject, (await self.store.get(subject_key(subject))).data)

    async def whole(self, subject: str) -> Subject:
        """The same for who acts on all that it says; raises Newer if a newer version may mean something else by it."""
        found = await self.get(subject)
        if found.is_newer:
            raise Newer(f"The record {subject_key(subject)!r} was written by a newer version of Darkroom.")
        return found

    def _checked(self, parse: Callable[[type[Subject], bytes, str], Subject], subject: str, data: bytes) -> Subject:
        """The record that is stored under the id `subject`; raises Damaged if it is of another one."""
        record = parse(Subject, data, subject_key(subject))
        if record.id != subject:
            raise Damaged(f"The record {subject_key(subject)!r} is damaged: it is of another subject.")
        return record

    async def change(self, subject: str, change: Callable[[Subject], Subject]) -> Subject:
        """Apply `change` to a record, again if somebody else wrote it meanwhile; raises Missing if it is gone."""
        while True:
            data, tag = await self.store.get(subject_key(subject))
            record = self._checked(parsed, subject, data)
            changed = change(record)
            if changed == record:
                return record
            if await self.store.replace(subject_key(subject), changed.model_dump_json().encode(), tag):
                return changed

    async def ordered(self, job: TrainJob) -> TrainJob:
        """The training as accepted after all others of its subjects, whatever the clock says; their records note when.

        Which of two trainings counts is decided by that: see `storage.lifecycle.finalize.record_training`.
        """
        accepted_s = job.accepted_s

        def asked(record: Subject) -> Subject:
            nonlocal accepted_s
            if record.asked_s < accepted_s:
                accepted_s = max(accepted_s, record.learned_s + ORDER_S)
            else:
                accepted_s = record.asked_s + ORDER_S
            return record.model_copy(update={"asked_s": accepted_s})

        for subject in job.subjects:
            with suppress(Missing, Damaged, Newer):  # whoever takes the job says so
                await self.change(subject, asked)
        return job.model_copy(update={"accepted_s": accepted_s})

    async def find(self, space: str, name: str) -> Subject | None:
        """The subject of that name in the space, if there is one; raises Damaged if its record is."""
        key = name_key(space, name)
        with suppress(Missing):
            try:
                await self._holder(key)
            except Damaged as error:
                log.error("a name is looked up among all subjects: %s", error)
                await self.mend_name(key)
        found = await self._named(key)
        if found and not (found.space and found.name):  # of a newer version
            return found.model_copy(update={"space": space, "name": name})
        return found

    async def mend_name(self, key: str) -> None:
        """Have a name whose object is damaged lead to its subject again, or free it if there is none."""
        _, tag = await self.store.get(key)
        async for names in self.store.pages("subjects/"):
            for name in (name for name in names if name.endswith("/subject.json")):
                with suppress(Missing, Damaged):
                    subject = await self.get(name.split("/")[1])
                    if name_key(subject.space, subject.name) == key:
                        await self.store.replace(key, subject.id.encode(), tag)
                        return
        await self.store.vacate(key, tag)

    async def find_all(self, space: str, names: Sequence[str]) -> list[Subject]:
        """The subjects of these names that there are in the space; one whose record is damaged is left out."""
        records = await asyncio.gather(*(self._named_or_damaged(name_key(space, name)) for name in names))
        return [subject for subject in records if subject and subject.name]

    async def in_space(self, space: str) -> list[Subject]:
        """All subjects of a space, newest first; one whose record is damaged is left out, and the log says which.

        So is one whose name only a newer version can tell.
        """
        names = await self.store.names(name_prefix(space), filled=True)
        records = await asyncio.gather(*(self._named_or_damaged(key) for key in names))
        return sorted((s for s in records if s and s.name), key=lambda s: s.created_s, reverse=True)

    async def forget(self, subject: Subject) -> list[str]:
        """Delete everything that belongs to a subject and free its name; return the names of what was deleted.

        The record goes first: whoever adds an object looks for it afterwards, and takes the object back if it is gone.
        """
        record = subject_key(subject.id)
        had_record = await self.store.exists(record)
        await self.store.delete(record)
        await set_aside(self.store, f"subjects/{subject.id}")
        removed = await self.store.delete_prefix(f"subjects/{subject.id}/")
        await self._free_name(subject)
        return [*removed, record] if had_record else removed

    async def _named_or_damaged(self, key: str) -> Subject | None:
        try:
            return await self._named(key)
        except Damaged as error:
            log.warning("a subject is left out: %s", error)
            return None

    async def _named(self, key: str) -> Subject | None:
        with suppress(Missing):  # forgotten
            holder, _ = await self._holder(key)
            return await self.get(holder) if holder else None
        return None

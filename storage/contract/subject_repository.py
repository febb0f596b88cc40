"""The subjects in an object store: records and reserved names, added, found, changed and deleted."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial

from storage.contract.posted_messages import delete_home
from storage.contract.records import parsed, parsed_in_part
from storage.contract.subjects import Subject, name_key, name_prefix, subject_key
from storage.errors import Damaged, Missing, Newer, UserError
from storage.ids import is_id
from storage.objects.store import Store

log = logging.getLogger(__name__)

ORDER_S = 0.001  # between two trainings of a subject at least
_STAND_INS = {
    "space": "",
    "owner": "",
    "name": "",
    "noun": "",
    "base_model": "",
    "state": "unknown",
    "shared": "private",
}


class Subjects:
    """The subjects in a store. Names are unique in a space, whoever comes first and however many ask at once."""

    def __init__(self, store: Store) -> None:
        self.store = store

    async def add(self, subject: Subject) -> None:
        """Store a new subject; raises UserError if its name is taken in its space."""
        await self.add_unnamed(subject)
        try:
            await self.name(subject)
        except UserError:
            await self.store.delete(subject_key(subject.id))
            raise

    async def add_unnamed(self, subject: Subject) -> None:
        """Store a new subject that is yet to get its name: nobody finds it before."""
        await self.store.put(subject_key(subject.id), subject.model_dump_json().encode())

    async def name(self, subject: Subject) -> None:
        """Reserve the name of a subject that is stored; raises UserError if it is taken in its space."""
        if not await self._take_name(subject):
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
        """Read a record to act on all of it; raises Newer if a newer version may mean something else by it."""
        record = await self.get(subject)
        if record.is_newer:
            raise Newer(f"The record {subject_key(subject)!r} was written by a newer version of Darkroom.")
        return record

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

    async def ordered(self, subjects: Sequence[str], accepted_s: float) -> float:
        """When a training counts as accepted: after all others of its subjects, whatever the clock says.

        Their records note it. Which of two trainings counts is decided by that: see `storage.kinds.train_end`.
        """

        def asked(record: Subject) -> Subject:
            nonlocal accepted_s
            if record.asked_s < accepted_s:
                accepted_s = max(accepted_s, record.learned_s + ORDER_S)
            else:
                accepted_s = record.asked_s + ORDER_S
            return record.model_copy(update={"asked_s": accepted_s})

        for subject in subjects:
            with suppress(Missing, Damaged, Newer):  # whoever takes the job says so
                await self.change(subject, asked)
        return accepted_s

    async def find(self, space: str, name: str) -> Subject | None:
        """The subject of that name in the space, if there is one; raises Damaged if its record is."""
        key = name_key(space, name)
        with suppress(Missing):
            try:
                await self._holder(key)
            except Damaged as error:
                log.error("a name is looked up among all subjects: %s", error)
                await self.mend_name(key)
        record = await self._named(key)
        if record and not (record.space and record.name):  # of a newer version
            return record.model_copy(update={"space": space, "name": name})
        return record

    async def mend_name(self, key: str) -> None:
        """Repair a reserved name whose object is damaged: it holds its subject's id again, or is freed."""
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
        removed = await delete_home(self.store, f"subjects/{subject.id}")
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

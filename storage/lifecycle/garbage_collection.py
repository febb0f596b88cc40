"""Sweeps what crashes have left: objects whose record is gone or names others, and names that nobody has.

What was made in the last hours is looked at every hour. A look over everything takes place once a day, in slices, and
goes on where it was left: `upkeep/sweep.json` says how far it is, and which slices are as they were when nothing was to
be done in them. Those cost a listing.
"""

import hashlib
import logging
import time
from collections import defaultdict
from collections.abc import Iterable

from pydantic import BaseModel

from storage.contract.jobs import job_key
from storage.contract.outcomes import outcome_key
from storage.contract.posted_messages import delete_home
from storage.contract.records import parsed
from storage.contract.subject_repository import Subjects
from storage.contract.subjects import NAMES, UNACCEPTED, subject_key, unaccepted_key
from storage.errors import Damaged, Missing, StoreError
from storage.ids import id_at, is_id, made_s
from storage.kinds.stored import read_outcome, stored_job
from storage.lifecycle.finalize import finalize_job, unpublished_objects, unsettled_key
from storage.lifecycle.job_index import JobIndex
from storage.objects.store import Store

log = logging.getLogger(__name__)

STATE = "upkeep/sweep.json"
ORPHANED_S = 3600.0  # from an id's making; an import writes the record last, and clocks differ
RECENT_S = 2 * 3600.0  # for so long after that things are looked at every hour
DAY_S = 24 * 3600.0  # from one look over everything to the next
SLICE = 6  # digits that ids of a slice begin with: those of almost five hours
KINDS = ("jobs/", "subjects/")
OF_TRAININGS = ("checkpoints", "weights", "samples")  # what lies below a subject by the trainings that made it


class SweepState(BaseModel):
    """How far the daily look over everything is. Fields that are not known are ignored."""

    version: int = 1
    after: str = ""  # prefix of the slice that was looked at last
    subjects: int = 0  # records counted so far
    ended_s: float = 0.0  # when it ended; 0: it has not
    clean: dict[str, str] = {}  # by prefix of a slice: the hash of its names when nothing was to be done in it


class GarbageCollector:
    """Deletes what belongs to nothing. `older_s` is the age from which that is certain."""

    def __init__(self, store: Store, older_s: float = ORPHANED_S) -> None:
        """What was made in the last `older_s` is left alone: whoever makes it may not be done."""
        self.store, self.older_s, self.index = store, older_s, JobIndex(store)

    async def sweep(self) -> list[str]:
        """Look over everything at once; return the names of what was deleted.

        Records are written first and deleted first, so nothing else is there without one; but an upload that hung in a
        process that was cut off may come back after all that. So it may to a job that has ended: that is settled anew.
        """
        return await self._go_on(SweepState(clean=(await self._state()).clean), float("inf"))

    async def sweep_some(self, within_s: float) -> bool:
        """Continue the daily sweep for so long; return whether it is done for the day."""
        state = await self._state()
        if 0 <= time.time() - state.ended_s < DAY_S:  # not where a clock was ahead then
            return True
        await self._go_on(SweepState(clean=state.clean) if state.ended_s else state, within_s)
        return bool((await self._state()).ended_s)

    async def sweep_recent(self) -> list[str]:
        """Look over what was made in the last hours; return the names of what was deleted."""
        since, swept = id_at(time.time() - self.older_s - RECENT_S), list[str]()
        for kind in KINDS:
            names = await self.store.names(kind, after=f"{kind}{since}")
            await self._sweep(kind, names, deep=False)
            swept += await self._gone(kind, names, after=f"{kind}{since}") if names else []
        return _logged(swept)

    async def _go_on(self, state: SweepState, within_s: float) -> list[str]:
        swept, until_s = list[str](), time.monotonic() + within_s
        while part := await self._next_slice(state.after):
            swept += await self._sweep_slice(part, state)
            state.after = part
            if time.monotonic() > until_s:
                break
        else:
            swept += await self._sweep_names(state.subjects)
            state.ended_s = time.time()
        await self.store.put(STATE, state.model_dump_json().encode())
        return _logged(swept)

    async def _next_slice(self, after: str) -> str:
        """The prefix of the slice that follows; empty if there is none."""
        for kind in KINDS:
            if kind >= after or after.startswith(kind):
                last = f"{after}g" if after.startswith(kind) else ""  # ids have no such digit
                for name in await self.store.names(kind, after=last, most=1):
                    return kind + name.split("/")[1][:SLICE]
        return ""

    async def _sweep_slice(self, part: str, state: SweepState) -> list[str]:
        names = await self.store.names(part)
        state.subjects += sum(name.endswith("/subject.json") for name in names)
        if state.clean.get(part) == _digest(names):
            return []
        kind = part[: part.index("/") + 1]
        done = await self._sweep(kind, names, deep=True)
        gone = set(await self._gone(part, names))
        state.clean.pop(part, None)
        if done:  # what came meanwhile is not in the digest, and has the slice looked at again
            state.clean[part] = _digest(name for name in names if name not in gone)
        return sorted(gone)

    async def _gone(self, prefix: str, names: list[str], after: str = "") -> list[str]:
        there = set(await self.store.names(prefix, after=after))
        return [name for name in names if name not in there and not name.endswith(f"/{UNACCEPTED}")]

    async def _sweep(self, kind: str, names: list[str], deep: bool) -> bool:
        """Sweep jobs or subjects, of which these are all objects; tell whether they need no further look."""
        owned: dict[str, list[str]] = defaultdict(list)
        for name in names:
            owned[name.split("/")[1]].append(name)
        done = [await self._sweep_one(kind, owner, own, deep) for owner, own in owned.items()]
        return all(done)

    async def _sweep_one(self, kind: str, owner: str, own: list[str], deep: bool) -> bool:
        old = is_id(owner) and time.time() - made_s(owner) > self.older_s
        record = job_key(owner) if kind == "jobs/" else subject_key(owner)
        try:
            if record not in own:
                if old:
                    await delete_home(self.store, f"{kind}{owner}")  # its messages are taken back
            elif kind == "jobs/":
                return await self._look_at_job(owner, own, old, deep) and old
            else:
                if old and unaccepted_key(owner) in own:
                    await self._sweep_unaccepted(owner)
                return await self._settle_trainings(own) and old
        except Missing:  # deleted just now
            return False
        except Damaged as error:
            log.error("what is left of %s%s cannot be swept: %s", kind, owner, error)
        except StoreError as error:
            log.warning("what is left of %s%s is swept later: %s", kind, owner, error)
            return False
        return old

    async def _look_at_job(self, job: str, own: list[str], old: bool, deep: bool) -> bool:
        """Index a job that an older version accepted, settle it if something came late; tell whether it has ended."""
        ended = outcome_key(job) in own
        if deep:
            record = await stored_job(self.store, job)
            await self.index.add(record, is_open=not ended or unsettled_key(job) in own)
        if ended and old and any(name.count("/") > 2 for name in own):
            record = await stored_job(self.store, job)
            outcome = await read_outcome(self.store, record)
            if outcome and unpublished_objects(own, record, outcome):
                await finalize_job(self.store, record)
        return ended

    async def _sweep_unaccepted(self, subject: str) -> None:
        """Forget a new subject whose training was never accepted: the bot died, or the store failed, in between."""
        mark = unaccepted_key(subject)
        try:
            marked = (await self.store.get(mark)).data.decode()
            record = await Subjects(self.store).get(subject)
            job = record.job or marked  # the mark may be damaged
            if not is_id(job):
                raise Damaged(f"The mark {mark!r} is damaged: it holds no id.")
            if not await self.store.exists(job_key(job)):
                await Subjects(self.store).forget(record)
        except (Damaged, ValueError) as error:
            log.error("the subject of %s cannot be swept: %s", mark, error)
        else:
            await self.store.delete(mark)

    async def _settle_trainings(self, own: list[str]) -> bool:
        """Settle the trainings that have left files below a subject, once more; tell whether all have ended."""
        made = {name.split("/")[3] for name in own if name.split("/")[2] in OF_TRAININGS and name.count("/") > 3}
        ended = True
        for job in filter(is_id, sorted(made)):
            if not await self.store.exists(job_key(job)):
                continue
            if not await self.store.exists(outcome_key(job)):
                ended = False
            elif time.time() - made_s(job) > self.older_s:
                await finalize_job(self.store, await stored_job(self.store, job))
        return ended

    async def _sweep_names(self, subjects: int) -> list[str]:
        """Free names that are held by subjects that are gone: a process died between the record and its name."""
        names = await self.store.names(NAMES, filled=True)
        if len(names) <= subjects:  # each subject has one: to read them all would take long
            return []
        swept = []
        for name in names:
            try:
                data, tag = await self.store.get(name)
            except Missing:  # freed just now
                continue
            holder = data.decode(errors="replace")
            old = is_id(holder) and time.time() - made_s(holder) > self.older_s
            gone = old and not await self.store.exists(subject_key(holder))
            if gone and await self.store.vacate(name, tag):
                swept.append(name)
        return swept

    async def _state(self) -> SweepState:
        try:
            return parsed(SweepState, (await self.store.get(STATE)).data, STATE)
        except (Missing, Damaged):
            return SweepState()


def _digest(names: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(names).encode()).hexdigest()[:16]


def _logged(swept: list[str]) -> list[str]:
    if swept:
        log.warning("%d objects of jobs or subjects that are gone were left, and are deleted", len(swept))
    return swept

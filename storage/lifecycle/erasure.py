"""Forgetting a subject for good: whatever is stored of it goes, and a receipt stays that lists what was removed.

While it is under way `forgetting/<subject>.json` says what is to go; who finds one that a crash left finishes it.
A worker that comes late finds no record to change, and removes what it has just written.
"""

import logging
import re
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress

from storage.contract.base import Stored
from storage.contract.jobs import Job
from storage.contract.outcomes import Outcome
from storage.contract.records import parsed, parsed_in_part
from storage.contract.subject_repository import Subjects
from storage.contract.subjects import Subject, subject_key
from storage.errors import Damaged, Full, Missing, Newer, StoreError
from storage.ids import is_id
from storage.kinds import kind_of
from storage.kinds.stored import read_outcome
from storage.lifecycle.finalize import delete_job, publish_outcome
from storage.lifecycle.job_index import JobIndex
from storage.objects.store import Store

log = logging.getLogger(__name__)

UNDER_WAY, RECEIPTS = "forgetting/", "receipts/"
HASH = re.compile(r"[0-9a-f]{32,}")
RELEASED = "One of the subjects of this training was forgotten meanwhile."


class Erasure(Stored):
    """What is being removed."""

    subject: Subject
    jobs: tuple[str, ...]  # those that are known so far
    names: tuple[str, ...]  # the objects that were there when it was noted


class Receipt(Stored):
    """What was removed, by its place: nothing that people typed, and no hash by which a photo could be known again."""

    subject: str
    removed: tuple[str, ...]
    removed_s: float


def receipt_key(subject: str) -> str:
    """Name of the receipt for a forgotten subject."""
    return f"{RECEIPTS}{subject}.json"


async def erase_subject(store: Store, subject: Subject, jobs: Sequence[str] = ()) -> Receipt:
    """Remove a subject, all jobs about it, and these; a worker that has one of them stops."""
    return await finish(store, await begin(store, subject, jobs))


async def begin(store: Store, subject: Subject, jobs: Sequence[str] = ()) -> Erasure:
    """Take the subject's record away, with a note that all the rest is to go: from now on nothing is asked of it."""
    begun = Erasure(subject=subject, jobs=(), names=tuple(await store.names(f"subjects/{subject.id}/")))
    begun = await _with_jobs(store, begun, jobs)
    await store.delete(subject_key(subject.id))
    return begun


async def finish_all(store: Store) -> None:
    """Finish what crashes left under way, each on its own: one whose record is damaged does not hold up the others."""
    for name in await store.names(UNDER_WAY):
        try:
            await _finish_one(store, name)
        except Missing:  # somebody else finished it just now
            continue
        except StoreError as error:
            log.warning("a subject is forgotten later: %s", error)


async def _finish_one(store: Store, name: str) -> None:
    try:
        begun = parsed(Erasure, (await store.get(name)).data, name)
    except Damaged as error:
        subject = name.removeprefix(UNDER_WAY).removesuffix(".json")
        log.error("a subject is forgotten by its id alone: %s", error)
        if not is_id(subject):
            return
        begun = stand_in(subject)
    await finish(store, begun)


def stand_in(subject: str) -> Erasure:
    """A note on a subject of which nothing but its id is known: the name that it had is freed by the sweep."""
    unknown = Subject(id=subject, space="", owner="", name="", noun="", base_model="")
    return Erasure(subject=unknown, jobs=(), names=())


async def finish(store: Store, begun: Erasure) -> Receipt:
    """Remove what is left; the jobs that are open first, for a worker may be at one."""
    subject, index = begun.subject, JobIndex(store)
    removed, done = set(await Subjects(store).forget(subject)), set[str]()
    for only_open in (True, False):
        begun = await _with_jobs(store, begun, await _jobs_about(index, subject, only_open))
        for job_id in (job for job in begun.jobs if job not in done):
            if job := await index.job(job_id):
                await _release(store, job)
            removed |= set(await delete_job(store, job_id, job))
            if not job:  # its record may be damaged
                await index.remove(job_id, subject.space, [subject.id])
            done.add(job_id)
    removed |= set(begun.names)
    try:
        receipt = await _receipt(store, begun.subject.id, removed)
    except Full:
        log.warning("there is no receipt of subject %s: the store is full", begun.subject.id)
        receipt = Receipt(subject=begun.subject.id, removed=tuple(sorted(removed)), removed_s=time.time())
    await store.delete(f"{UNDER_WAY}{receipt.subject}.json")
    return receipt


async def _receipt(store: Store, subject: str, removed: set[str]) -> Receipt:
    """Write the receipt; where two have removed a subject at once, it lists what either has."""
    key, removed = receipt_key(subject), set(anonymous(removed))
    while True:
        receipt = Receipt(subject=subject, removed=tuple(sorted(removed)), removed_s=time.time())
        if await store.put_new(key, receipt.model_dump_json().encode()):
            return receipt
        with suppress(Missing):
            before, tag = await store.get(key)
            with suppress(Damaged, Newer):  # it is replaced
                removed = removed | set(parsed_in_part(Receipt, before, key).removed)
            receipt = receipt.model_copy(update={"removed": tuple(sorted(removed))})
            if await store.replace(key, receipt.model_dump_json().encode(), tag):
                return receipt


def anonymous(names: Iterable[str]) -> list[str]:
    """Names of objects with numbers in the place of hashes, which tell who has a photo whether it was among these.

    >>> anonymous([f"subjects/1/photos/{letter * 64}.png" for letter in "ab"])
    ['subjects/1/photos/1.png', 'subjects/1/photos/2.png']
    """
    counts: Counter[str] = Counter()
    names_without = []
    for name in sorted(names):
        kind = HASH.sub("#", name)
        counts[kind] += 1
        names_without.append(kind.replace("#", str(counts[kind])))
    return names_without


async def clean_receipts(store: Store) -> None:
    """Take the hashes out of receipts that were written with them."""
    for name in await store.names(RECEIPTS):
        with suppress(Missing, Damaged, Newer):  # `darkroom repair` deletes damaged ones
            data, tag = await store.get(name)
            if HASH.search(data.decode(errors="replace")):
                receipt = parsed(Receipt, data, name)
                clean = receipt.model_copy(update={"removed": tuple(anonymous(receipt.removed))})
                await store.replace(name, clean.model_dump_json().encode(), tag)


async def _with_jobs(store: Store, begun: Erasure, jobs: Sequence[str]) -> Erasure:
    """Note that these jobs are to go as well."""
    new = [job for job in jobs if job not in begun.jobs]
    objects = [name for job in new for name in await store.names(f"jobs/{job}/")]
    begun = begun.model_copy(update={"jobs": (*begun.jobs, *new), "names": (*begun.names, *objects)})
    try:
        await store.put(f"{UNDER_WAY}{begun.subject.id}.json", begun.model_dump_json().encode())
    except Full:  # forgetting makes room: until then nothing is noted, and a crash now leaves the rest to the sweep
        log.warning("subject %s is forgotten without a note: the store is full", begun.subject.id)
    return begun


async def _jobs_about(index: JobIndex, subject: Subject, only_open: bool) -> list[str]:
    """Ids of the jobs about a subject."""
    jobs = await index.about(subject.id)
    open_ = set(await index.open_jobs(subject.space)) if only_open else set(jobs)
    return [job for job in jobs if job in open_]


async def _release(store: Store, job: Job) -> None:
    """Let those go who were to be learned together with who is forgotten: so they are not learned, and can be anew."""
    kind = kind_of(job)
    if kind.learns and len(job.subjects) > 1:
        with suppress(Full):  # it is deleted next
            await publish_outcome(store, job, Outcome(job=job.id, state="failed", message=RELEASED))
        try:
            if outcome := await read_outcome(store, job):
                await kind.note_end(store, job, outcome)
        except (Damaged, Newer, Full) as error:  # nobody is kept for that
            log.error("who was learned in job %s is not told that it has ended: %s", job.id, error)
        await kind.erase(store, job)

"""Forgetting a subject for good: whatever is stored of it goes, and a receipt stays that lists what was removed.

While it is under way `forgetting/<subject>.json` says what is to go; who finds one that a crash left finishes it.
A worker that comes late finds no record to change, and removes what it has just written.
"""

import logging
import time

from storage.errors import Damaged, Missing
from storage.files import Store
from storage.jobs import Outcome, Record, TrainJob, job_key, read_job
from storage.records import parsed
from storage.settling import delete_job, note, publish, read_outcome
from storage.subjects import Subject, Subjects, logs_prefix

log = logging.getLogger(__name__)

UNDER_WAY = "forgetting/"
RELEASED = "One of those who were learned together was forgotten meanwhile."


class Forgetting(Record):
    """What is being removed."""

    subject: Subject
    jobs: tuple[str, ...]
    names: tuple[str, ...]  # the objects that were there when it began


class Receipt(Record):
    """What was removed; it holds ids and hashes only, nothing that people typed."""

    subject: str
    removed: tuple[str, ...]
    removed_s: float


def receipt_key(subject: str) -> str:
    """Name of the receipt for a forgotten subject."""
    return f"receipts/{subject}.json"


async def forget(store: Store, subject: Subject, jobs: list[str]) -> Receipt:
    """Remove a subject and these jobs, which are about it; a worker that has one of them stops."""
    found = await store.names(f"subjects/{subject.id}/")
    for job in jobs:
        found += await store.names(f"jobs/{job}/")
    begun = Forgetting(subject=subject, jobs=tuple(jobs), names=tuple(found))
    await store.put(f"{UNDER_WAY}{subject.id}.json", begun.model_dump_json().encode())
    return await _finish(store, begun)


async def finish_all(store: Store) -> None:
    """Finish what crashes left under way, each on its own: one whose record is damaged does not hold up the others."""
    for name in await store.names(UNDER_WAY):
        try:
            await _finish(store, parsed(Forgetting, (await store.get(name)).data, name))
        except Missing:  # somebody else finished it just now
            continue
        except Damaged as error:
            log.error("a forgetting cannot be finished: %s", error)


async def _finish(store: Store, begun: Forgetting) -> Receipt:
    removed = {*begun.names, *await Subjects(store).forget(begun.subject)}
    for job in begun.jobs:
        await _release(store, job)
        removed |= set(await delete_job(store, job))
    receipt = Receipt(subject=begun.subject.id, removed=tuple(sorted(removed)), removed_s=time.time())
    await store.put(receipt_key(receipt.subject), receipt.model_dump_json().encode())
    await store.delete(f"{UNDER_WAY}{receipt.subject}.json")
    return receipt


async def _release(store: Store, job_id: str) -> None:
    """Let those go who were to be learned together with who is forgotten: so they are not learned, and can be anew."""
    try:
        job = read_job((await store.get(job_key(job_id))).data)
    except (Missing, Damaged):
        return
    if isinstance(job, TrainJob) and job.others:
        await publish(store, job, Outcome(job=job.id, state="failed", message=RELEASED))
        try:
            if outcome := await read_outcome(store, job.id):
                await note(store, job, outcome)
        except Damaged as error:  # nobody is kept for that
            log.error("who was learned in job %s is not told that it has ended: %s", job.id, error)
        await store.delete_prefix(f"{logs_prefix(job.subject)}{job.id}/")  # they have sample pictures of all

"""What `darkroom repair` looks at: each check lists what is damaged, and mends what can be unless it only looks.

A check is an async generator of findings; `CHECKS` are those of the store, and `bot.cli.repair` adds its own.
"""

import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from storage.contract.base import Stored
from storage.contract.jobs import job_key
from storage.contract.outcomes import Outcome, outcome_key
from storage.contract.records import parsed
from storage.contract.subject_repository import Subjects
from storage.contract.subjects import NAMES, Subject, name_key, subject_key
from storage.errors import Damaged, Missing, Newer, StoreError
from storage.ids import is_id
from storage.kinds import kind_of
from storage.kinds.stored import read_outcome, stored_job
from storage.lifecycle.damaged_jobs import OUTCOME_DAMAGED, end_damaged
from storage.lifecycle.erasure import UNDER_WAY, Erasure, Receipt, finish, stand_in
from storage.lifecycle.finalize import delete_job, finalize_job
from storage.lifecycle.index_backfill import index_faults
from storage.lifecycle.job_index import JobIndex
from storage.lifecycle.posted_index import index_note, posted_faults
from storage.objects.store import Store

YOUNG_S = 3600.0  # its training may be about to be accepted, or settled


@dataclass(frozen=True)
class RepairFinding:
    """Something that is damaged."""

    key: str  # of the object
    what: str  # is wrong with it
    mend: str = ""  # what is done about it; empty if nothing can be
    advice: str = ""  # what a person can do then


StoreCheck = Callable[[Store, bool], AsyncIterator[RepairFinding]]


async def check_jobs(store: Store, dry_run: bool) -> AsyncIterator[RepairFinding]:
    """Jobs and their outcomes."""
    for job in await _ids(store, "jobs/"):
        try:
            known = await stored_job(store, job)
        except Missing:  # the sweep sees to what has no record
            continue
        except Damaged as error:
            yield RepairFinding(job_key(job), str(error), "ended and deleted")
            if not dry_run:
                await end_damaged(store, job)
                await delete_job(store, job)
            continue
        try:
            await read_outcome(store, known)
        except Damaged as error:
            failed = Outcome(job=job, state="failed", message=OUTCOME_DAMAGED)
            outcome = await kind_of(known).recovered(store, known) or failed
            yield RepairFinding(outcome_key(job), str(error), f"written anew: {outcome.state}")
            if not dry_run:
                await store.put(outcome_key(job), outcome.model_dump_json().encode())
                with suppress(Damaged, Newer):  # a subject of it, which is found below
                    await finalize_job(store, known)


async def check_subjects(store: Store, dry_run: bool) -> AsyncIterator[RepairFinding]:
    """Subjects: their records, their names, their photos and weights."""
    subjects = Subjects(store)
    for each in await _ids(store, "subjects/"):
        try:
            subject = await subjects.whole(each)
        except (Missing, Newer):
            continue
        except Damaged as error:
            advice = "forget it by its name, which deletes its files"
            yield RepairFinding(subject_key(each), str(error), advice=advice)
            continue
        async for finding in _check_subject(subjects, subject, dry_run):
            yield finding
        if await _waits_in_vain(store, subject):
            what = f"{subject.name} waits for a training that has ended or is gone."
            yield RepairFinding(subject_key(each), what, "failed: it can be forgotten, or trained anew")
            if not dry_run:
                await subjects.change(each, lambda subject: subject.model_copy(update={"state": "failed"}))


async def _check_subject(subjects: Subjects, subject: Subject, dry_run: bool) -> AsyncIterator[RepairFinding]:
    key = name_key(subject.space, subject.name)
    holder = await subjects.holder(key)
    if holder != subject.id:
        free = not holder or not await subjects.store.exists(subject_key(holder))
        mend, advice = ("written anew", "") if free else ("", "another subject has its name: forget one of them")
        yield RepairFinding(key, f"The name of {subject.name} does not lead to it.", mend, advice)
        if not dry_run and free:
            await subjects.store.put(key, subject.id.encode())
    files = {photo.key: photo.sha256 for photo in subject.photos} | {
        photo.whole: photo.whole_sha256 for photo in subject.photos if photo.whole
    }
    if subject.weights_key and subject.weights_sha256:
        files[subject.weights_key] = subject.weights_sha256
    for name, sha256 in files.items():
        if not await _is_whole(subjects.store, name, sha256):
            what = f"A file of {subject.name} is damaged or missing."
            yield RepairFinding(name, what, advice="retrain it; if a photo is damaged, forget it and train it anew")


async def _waits_in_vain(store: Store, subject: Subject) -> bool:
    if subject.state != "learning" or not subject.job or time.time() - subject.created_s < YOUNG_S:
        return False
    return await store.exists(outcome_key(subject.job)) or not await store.exists(job_key(subject.job))


async def check_names(store: Store, dry_run: bool) -> AsyncIterator[RepairFinding]:
    """Names that hold no id; run after `check_subjects`, which writes those anew whose subject is there."""
    for key in await store.names(NAMES, filled=True):
        holder = (await store.get(key)).data.decode(errors="replace")
        if not is_id(holder):
            yield RepairFinding(key, "The name holds no id.", "freed")
            if not dry_run:
                await store.delete(key)


async def check_forgetting(store: Store, dry_run: bool) -> AsyncIterator[RepairFinding]:
    """Forgetting that is under way, and receipts."""
    async for key, error in damaged_records(store, UNDER_WAY, Erasure):
        subject = key.removeprefix(UNDER_WAY).removesuffix(".json")
        yield RepairFinding(key, error, "finished" if is_id(subject) else "deleted")
        if not dry_run and is_id(subject):
            await finish(store, stand_in(subject))
        if not dry_run:
            await store.delete(key)
    async for key, error in damaged_records(store, "receipts/", Receipt):
        yield RepairFinding(key, error, "deleted")
        if not dry_run:
            await store.delete(key)


async def check_indexes(store: Store, dry_run: bool) -> AsyncIterator[RepairFinding]:
    """Entries of the indexes of jobs: those that are missing, and those of jobs that are gone."""
    async for key, job, is_open in index_faults(store):
        if job:
            yield RepairFinding(key, f"Job {job.id} is missing in an index.", "indexed again")
        else:
            yield RepairFinding(key, "The job of this entry is gone.", "deleted")
        if not dry_run:
            await (JobIndex(store).add(job, is_open) if job else store.delete(key))


async def check_posted(store: Store, dry_run: bool) -> AsyncIterator[RepairFinding]:
    """Entries that lead from a message to its job: those that are missing, and those without a message."""
    async for key, note in posted_faults(store):
        if note:
            yield RepairFinding(key, "A message does not lead to its job.", "indexed again")
        else:
            yield RepairFinding(key, "The message of this entry is gone.", "deleted")
        if not dry_run:
            await (index_note(store, note) if note else store.delete(key))


async def damaged_records(
    store: Store, prefix: str, kind: type[Stored], ending: str = ".json"
) -> AsyncIterator[tuple[str, str]]:
    """Names below a prefix, with this ending, of records that cannot be read, each with the reason."""
    for key in await store.names(prefix):
        if not key.endswith(ending):
            continue
        try:
            parsed(kind, (await store.get(key)).data, key)
        except Missing:
            continue
        except Damaged as error:
            yield key, str(error)
        except StoreError:  # of a newer version
            continue


async def _ids(store: Store, prefix: str) -> list[str]:
    ids: dict[str, None] = {}
    async for names in store.pages(prefix):
        ids |= dict.fromkeys(name.split("/")[1] for name in names)
    return [each for each in ids if is_id(each)]


async def _is_whole(store: Store, key: str, sha256: str) -> bool:
    with tempfile.TemporaryDirectory(prefix="darkroom-repair-") as folder:
        try:
            await store.get_file(key, Path(folder, "file"), sha256)
        except (Missing, Damaged):
            return False
    return True


CHECKS: tuple[StoreCheck, ...] = (
    check_jobs,
    check_indexes,
    check_posted,
    check_subjects,
    check_names,
    check_forgetting,
)

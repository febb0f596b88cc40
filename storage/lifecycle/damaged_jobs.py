"""What becomes of a job whose record is damaged: it ends, in words, and what it was about does not wait for it."""

import logging
import re
from contextlib import suppress

from storage.contract.jobs import NewerJob, job_key
from storage.contract.outcomes import Outcome, outcome_key
from storage.contract.records import owner_of, space_of
from storage.contract.subject_repository import Subjects
from storage.contract.subjects import Subject
from storage.errors import Damaged, Missing, Newer
from storage.ids import is_id
from storage.kinds.stored import read_ending
from storage.objects.store import Store

log = logging.getLogger(__name__)

JOB_DAMAGED = "What was asked here is damaged in the storage, so it cannot be done. Please ask again."
OUTCOME_DAMAGED = "This has ended, but how is not known any more: its record is damaged in the storage."
_IDS = re.compile(rb'"(?:subjects?|others)"\s*:\s*(\[[^\]]*\]|"[^"]*")')  # as a job names its subjects
_ID = re.compile(rb'"([0-9a-f]{20})"')


async def end_damaged(store: Store, job: str) -> str:
    """End a job of which a record is damaged, unless it has ended; return the sentence that tells how it did.

    Subjects that it was to learn for the first time have failed: their photos are there, and their names can be had.
    """
    try:
        if outcome := await read_ending(store, job):
            return outcome.message
    except Damaged:
        return OUTCOME_DAMAGED
    failed = Outcome(job=job, state="failed", message=JOB_DAMAGED)
    # A worker may hold the job and end it at this moment: the conditional write decides.
    if await store.put_new(outcome_key(job), failed.model_dump_json().encode()):
        log.error("job %s is damaged, and has failed", job)
    # Otherwise they would be "being learned" for ever, and their names could not be had again.
    for subject in await _subjects_of(store, job):
        with suppress(Missing, Damaged, Newer):
            await Subjects(store).change(subject, lambda match: _failed(match, job))
    return JOB_DAMAGED


async def job_remains(store: Store, job: str) -> NewerJob | None:
    """What stands for a damaged job, to be deleted; None unless its space and owner can still be read."""
    try:
        record = (await store.get(job_key(job))).data
    except Missing:
        return None
    space, owner, subjects = space_of(record), owner_of(record), _subjects_in(record)
    if not space or not owner or not is_id(job):
        return None
    return NewerJob.model_validate({"id": job, "kind": "damaged", "space": space, "owner": owner, "subjects": subjects})


def _failed(subject: Subject, job: str) -> Subject:
    waits = subject.state == "learning" and subject.job == job
    return subject.model_copy(update={"state": "failed"}) if waits else subject


async def _subjects_of(store: Store, job: str) -> list[str]:
    """Ids of subjects that can still be read in the damaged record of a job."""
    try:
        return _subjects_in((await store.get(job_key(job))).data)
    except Missing:
        return []


def _subjects_in(record: bytes) -> list[str]:
    ids = [match.decode() for named in _IDS.findall(record) for match in _ID.findall(named)]
    return list(dict.fromkeys(ids))

"""Jobs and outcomes in the store, read as records of their kind."""

from contextlib import suppress

from pydantic import ValidationError
from pydantic_core import from_json

from storage.contract.jobs import Job, NewerJob, job_key
from storage.contract.outcomes import Outcome
from storage.contract.records import is_newer_value, is_newer_word, understood, version_of
from storage.errors import Damaged, Newer
from storage.kinds import KINDS, kind_of
from storage.kinds.kind import ANY
from storage.objects.store import Store

_STAND_INS = {"kind": "unknown", "space": "", "owner": "", "shared": "private"}  # a job of nobody, which nobody sees


def read_stored_job(body: bytes, job: str = "") -> Job:
    """Parse a stored job, a NewerJob where only a newer version understands it; raises Damaged.

    `job` is its id, if a newer version writes ids otherwise.
    """
    kind = _kind_in(body)
    try:
        known = KINDS[kind].job.model_validate_json(body) if kind in KINDS else NewerJob.model_validate_json(body)
        if known.is_newer or (kind not in KINDS and is_newer_word(kind, KINDS)):
            return NewerJob.model_validate_json(body)
        if kind in KINDS:
            return known
        says, problems = f"there is no kind of job {kind!r:.60}", []
    except ValidationError as error:
        says, problems = error.errors()[0]["msg"], error.errors()
    with suppress(ValidationError):
        if version_of(body) > (KINDS[kind].job if kind in KINDS else NewerJob).known_version():
            return NewerJob.model_validate(understood(body, NewerJob, _STAND_INS | {"id": job}))
        if problems and all(map(is_newer_value, problems)):
            return NewerJob.model_validate_json(body)
    raise Damaged(f"A job's record is damaged: {says}.")


def read_job(body: bytes) -> Job:
    """Parse a stored job that this version can do; raises Damaged, or Newer where a newer version is needed."""
    job = read_stored_job(body)
    if not job.is_understood:
        raise Newer(f"Job {job.id} was accepted by a newer version of Darkroom.")
    return job


async def stored_job(store: Store, job: str) -> Job:
    """Read a job from the store; raises Missing and Damaged."""
    record = read_stored_job((await store.get(job_key(job))).data, job)
    if record.id != job:
        raise Damaged(f"The record {job_key(job)!r} is damaged: it is of another job.")
    return record


async def read_outcome(store: Store, job: Job) -> Outcome | None:
    """How a job ended, as an outcome of its kind, if it did; raises Damaged if nobody can tell any more."""
    outcome: Outcome | None = await kind_of(job).read_outcome(store, job.id)
    return outcome


async def read_ending(store: Store, job: str) -> Outcome | None:
    """The same of a job whose record is not there or damaged: its state and sentence, not what it made."""
    return await ANY.read_outcome(store, job)


def _kind_in(body: bytes) -> str:
    """The kind that a job's record names; empty where it cannot be read."""
    try:
        kind = from_json(body).get("kind", "")
    except (ValueError, AttributeError):
        return ""
    return kind if isinstance(kind, str) else ""

"""What follows from a job's outcome: other records say what it says, and what nobody needs any more goes.

The outcome is the one thing that decides. Whoever writes it may die the next moment, so it leaves a mark, and all of
this is done again by whoever comes by, as often as may be, and comes out the same. What is done for one kind of job
alone is in `storage.kinds`.
"""

import logging
from collections.abc import Iterable
from contextlib import suppress

from storage.contract.jobs import Job, job_key
from storage.contract.outcomes import Outcome, Picture, outcome_key
from storage.contract.posted_messages import delete_home, set_aside
from storage.contract.records import parsed
from storage.contract.subjects import subject_key
from storage.errors import Full, Newer, UserError
from storage.kinds import kind_of
from storage.kinds.imagine import ImagineJob, ImagineOutcome
from storage.kinds.stored import read_outcome
from storage.lifecycle.job_index import JobIndex, open_key
from storage.objects.store import Store

log = logging.getLogger(__name__)


async def publish_outcome(store: Store, job: Job, outcome: Outcome) -> bool:
    """Write the outcome of a job, unless it has one; tell whether it was written. `finalize_job` is to follow."""
    with suppress(Full):  # it is there, unless the job is older than the index
        await store.put(open_key(job.space, job.id), b"")
    return await store.put_new(outcome_key(job.id), outcome.model_dump_json().encode())


async def is_open(store: Store, job: Job) -> bool:
    """Whether a job still is to be done: it has no outcome, and nobody has deleted it."""
    return not await store.exists(outcome_key(job.id)) and await store.exists(job_key(job.id))


async def finalize_job(store: Store, job: Job, outcome: Outcome | None = None) -> None:
    """Do what follows from the outcome of a job that has one; of a job that was deleted remove what came late.

    Whoever has just published the `outcome` need not have it read. Raises Newer for one that a newer version published:
    what else there is may belong to it.
    """
    kind = kind_of(job)
    outcome = kind.typed(outcome) if outcome else await read_outcome(store, job)
    if outcome:
        _must_understand(outcome)
        await kind.note_end(store, job, outcome)
        if kind.learns and outcome.state == "cancelled":
            await _delete_first_looks(store, job)
    await kind.clean_up(store, job)
    names = await store.names(f"jobs/{job.id}/")
    if outcome is None or job_key(job.id) not in names or await kind.shows_forgotten(store, job, outcome):
        await delete_job(store, job.id, job)
        return
    for name in unpublished_objects(names, job, outcome):
        await store.delete(name)
    if unsettled_key(job.id) in names:
        await store.delete(unsettled_key(job.id))
    await JobIndex(store).close(job)


async def _delete_first_looks(store: Store, training: Job) -> None:
    """Delete what was drawn from the photos of subjects that a cancelled training leaves nothing of."""
    index = JobIndex(store)
    for subject in training.subjects:
        about = [] if await store.exists(subject_key(subject)) else await index.about(subject)
        for job in about:
            record = await index.job(job)
            if record and not kind_of(record).learns:
                await delete_job(store, job, record)


def _must_understand(outcome: Outcome) -> None:
    if outcome.is_newer:
        raise Newer(f"The outcome of job {outcome.job} was written by a newer version of Darkroom.")


def unpublished_objects(names: Iterable[str], job: Job, outcome: Outcome) -> list[str]:
    """Those of a job's objects that attempts have made and its outcome does not publish.

    None of a job that only a newer version understands: what it has published, that version knows.
    """
    if not job.is_understood and outcome.state not in ("failed", "cancelled"):
        return []
    return [name for name in names if name.count("/") > 2 and name not in outcome.published]


def unsettled_key(job: str) -> str:
    """Name of the mark that older versions set on a job that is not settled; its entry in `open/` says it now."""
    return f"jobs/{job}/unsettled"


async def delete_job(store: Store, job: str, record: Job | None = None) -> list[str]:
    """Delete a job and all that belongs to it; return the names of what was deleted.

    The job itself goes first: whoever adds something to it looks for it afterwards. Its entries in the indexes go last.
    `record` is what it says, where that is known.
    """
    existed, index = await store.exists(job_key(job)), JobIndex(store)
    record = record or await index.job(job)
    await store.delete(job_key(job))
    removed = await delete_home(store, f"jobs/{job}")
    if record:
        await index.remove_job(record)
    return [*removed, job_key(job)] if existed else removed


async def delete_picture(store: Store, job: ImagineJob, seed: int) -> ImagineOutcome:
    """Delete the picture of a seed from a finished drawing, with the grid that shows it; return the outcome without it.

    The outcome changes first and decides: what it no longer names is removed by `finalize_job`, now or after a crash.
    If no picture would be left, nothing is changed: the job is to be deleted. Raises UserError if there is no such
    picture, Missing if the job was deleted meanwhile, Damaged and Newer.
    """
    key = outcome_key(job.id)
    while True:
        data, tag = await store.get(key)
        outcome = parsed(ImagineOutcome, data, key)
        _must_understand(outcome)
        deleted = [picture for picture in outcome.pictures if picture.seed == seed]
        if not deleted:
            raise UserError(f"There is no picture with seed {seed} there, or not any more.")
        left = tuple(picture for picture in outcome.pictures if picture.seed != seed)
        outcome = outcome.model_copy(update={"pictures": left, "grid": None})
        if not left or await _republished(store, job, outcome, tag, deleted):
            return outcome


async def _republished(
    store: Store, job: ImagineJob, outcome: ImagineOutcome, tag: str, deleted: list[Picture]
) -> bool:
    """Replace an outcome by one without the pictures that are `gone`; on a full disk these make room for it first."""
    with suppress(Full):
        await store.put(open_key(job.space, job.id), b"")
    try:
        if not await store.replace(outcome_key(job.id), outcome.model_dump_json().encode(), tag):
            return False
    except Full:
        if not any([await store.exists(picture.key) for picture in deleted]):
            raise
        for picture in deleted:
            await store.delete(picture.key)
        return False
    try:
        await set_aside(store, f"jobs/{job.id}")
    except Full:  # the pictures make room
        await finalize_job(store, job, outcome)
        await set_aside(store, f"jobs/{job.id}", makes_room=True)
    else:
        await finalize_job(store, job, outcome)
    return True


async def cancel_without_room(store: Store, job: Job) -> None:
    """Cancel a job in a store that is too full to keep an outcome: delete it, and a subject that it was to make."""
    await delete_job(store, job.id, job)
    await kind_of(job).discard(store, job)
    if kind_of(job).learns:
        await _delete_first_looks(store, job)

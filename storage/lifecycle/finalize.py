"""What follows from a job's outcome: the subject's record says what it says, and what nobody needs any more goes.

The outcome is the one thing that decides. Whoever writes it may die the next moment, so it leaves a mark, and all of
this is done again by whoever comes by, as often as may be, and comes out the same: of two trainings of a subject the
one that was accepted later counts, whichever ends first.
"""

import logging
from collections.abc import Iterable
from contextlib import suppress

from storage.contract.jobs import ImagineJob, Job, TrainJob, job_key
from storage.contract.outcomes import Outcome, Picture, outcome_key, samples_until
from storage.contract.posted_messages import set_aside
from storage.contract.records import parsed, read_outcome, stored_job
from storage.contract.subject_repository import Subjects
from storage.contract.subjects import Subject, checkpoint_prefix, samples_prefix, subject_key, weights_prefix
from storage.errors import Damaged, Full, Missing, Newer, StoreError, UserError
from storage.ids import is_id
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
    outcome = outcome or await read_outcome(store, job.id)
    if outcome:
        _must_understand(outcome)
    if isinstance(job, TrainJob):
        await _settle_training(store, job, outcome)
    names = await store.names(f"jobs/{job.id}/")
    if outcome is None or job_key(job.id) not in names or await _shows_forgotten(store, job, outcome):
        await delete_job(store, job.id, job)
        return
    for name in unpublished_objects(names, outcome):
        await store.delete(name)
    if unsettled_key(job.id) in names:
        await store.delete(unsettled_key(job.id))
    await JobIndex(store).close(job)


def _must_understand(outcome: Outcome) -> None:
    if outcome.is_newer:
        raise Newer(f"The outcome of job {outcome.job} was written by a newer version of Darkroom.")


def unpublished_objects(names: Iterable[str], outcome: Outcome) -> list[str]:
    """Objects of a job's attempts that its outcome does not publish."""
    cards = [card for each in outcome.subjects for card in (each.before_after, each.choices)]
    pictures = {picture.key for picture in (*outcome.pictures, outcome.grid, *cards) if picture}
    return [name for name in names if name.count("/") > 2 and name not in pictures]


async def _shows_forgotten(store: Store, job: Job, outcome: Outcome) -> bool:
    """Whether a job's pictures are of somebody who was forgotten just before they were published."""
    if not isinstance(job, ImagineJob) or not outcome.pictures:
        return False
    return not all([await store.exists(subject_key(each)) for each in job.subjects])


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
    await set_aside(store, f"jobs/{job}")
    removed = await store.delete_prefix(f"jobs/{job}/")
    if record:
        await index.remove(job, record.space, record.subjects)
    return [*removed, job_key(job)] if existed else removed


async def delete_picture(store: Store, job: Job, seed: int) -> Outcome:
    """Delete the picture of a seed from a finished drawing, with the grid that shows it; return the outcome without it.

    The outcome changes first and decides: what it no longer names is removed by `finalize_job`, now or after a crash.
    If no picture would be left, nothing is changed: the job is to be deleted. Raises UserError if there is no such
    picture, Missing if the job was deleted meanwhile, Damaged and Newer.
    """
    key = outcome_key(job.id)
    while True:
        data, tag = await store.get(key)
        outcome = parsed(Outcome, data, key)
        _must_understand(outcome)
        gone = [picture for picture in outcome.pictures if picture.seed == seed]
        if not gone:
            raise UserError(f"There is no picture with seed {seed} there, or not any more.")
        left = tuple(picture for picture in outcome.pictures if picture.seed != seed)
        outcome = outcome.model_copy(update={"pictures": left, "grid": None})
        if not left or await _republished(store, job, outcome, tag, gone):
            return outcome


async def _republished(store: Store, job: Job, outcome: Outcome, tag: str, gone: list[Picture]) -> bool:
    """Replace an outcome by one without the pictures that are `gone`; on a full disk these make room for it first."""
    with suppress(Full):
        await store.put(open_key(job.space, job.id), b"")
    try:
        if not await store.replace(outcome_key(job.id), outcome.model_dump_json().encode(), tag):
            return False
    except Full:
        if not any([await store.exists(picture.key) for picture in gone]):
            raise
        for picture in gone:
            await store.delete(picture.key)
        return False
    await set_aside(store, f"jobs/{job.id}")
    await finalize_job(store, job, outcome)
    return True


async def cancel_without_room(store: Store, job: Job) -> None:
    """Cancel a job in a store that is too full to keep an outcome: delete it, and a subject that it was to make."""
    await delete_job(store, job.id, job)
    if isinstance(job, TrainJob):
        await store.delete_prefix(checkpoint_prefix(job.subjects[0], job.id))
    for each in job.subjects if isinstance(job, TrainJob) else ():
        with suppress(Missing, Damaged):
            subject = await Subjects(store).get(each)
            if subject.state == "learning" and not subject.is_newer:
                await Subjects(store).forget(subject)


async def record_training(store: Store, job: TrainJob, outcome: Outcome) -> None:
    """Make the records of its subjects say how a training ended; harmless if they are forgotten.

    A first training that was cancelled leaves nothing; one that failed keeps its photos, so that it can be tried again.
    Raises Damaged or Newer, once the others are done, for a record that cannot be read.
    """
    subjects, unreadable = Subjects(store), list[StoreError]()
    for each in job.subjects:
        try:
            subject = await subjects.change(each, lambda found: _noted(found, job, outcome))
        except Missing:
            await store.delete_prefix(f"subjects/{each}/")
            continue
        except (Damaged, Newer) as error:
            unreadable.append(error)
            continue
        if outcome.state == "cancelled" and subject.state == "learning":
            await subjects.forget(subject)
    if unreadable:
        raise unreadable[0]


def _noted(subject: Subject, job: TrainJob, outcome: Outcome) -> Subject:
    if outcome.state == "failed" and subject.state == "learning":
        return subject.model_copy(update={"state": "failed"})
    trained = outcome.learned_of(subject.id)
    if trained is None or subject.learned_s >= job.accepted_s:  # it may have been chosen otherwise since
        return subject
    says = {name for name in type(trained).model_fields if name != "subject"}
    learned = {name: getattr(trained, name) for name in says} | (trained.model_extra or {})
    decided = 0 if trained.candidates else trained.kept_step
    learned["samples"] = samples_until(trained.samples or outcome.pictures, decided)
    how = {"method": trained.recipe.get("method", job.method), "job": job.id, "learned_s": job.accepted_s}
    return subject.model_copy(update={**learned, **how, "state": "ready"})


async def _settle_training(store: Store, job: TrainJob, outcome: Outcome | None) -> None:
    if outcome:
        await record_training(store, job, outcome)
    await store.delete_prefix(checkpoint_prefix(job.subjects[0], job.id))
    for each in job.subjects:
        try:
            subject = await Subjects(store).whole(each)
        except Missing:
            await store.delete_prefix(f"subjects/{each}/")
            continue
        except Newer as error:
            log.warning("weights and samples stay as they are: %s", error)
            continue
        for name in await store.names(weights_prefix(each)):
            if await _is_left_over(store, subject, name):
                await store.delete(name)
        for name in await store.names(samples_prefix(each)):
            if await _is_old_sample(store, subject, name):
                await store.delete(name)


async def _is_old_sample(store: Store, subject: Subject, sample: str) -> bool:
    """Whether a sample picture is of a training that has ended, and not of the one that made the subject."""
    by = sample.removeprefix(samples_prefix(subject.id)).split("/")[0]
    open_ = await store.exists(job_key(by)) and not await store.exists(outcome_key(by))
    return not open_ and sample not in {picture.key for picture in (*subject.samples, subject.before_after) if picture}


async def _is_left_over(store: Store, subject: Subject, weights: str) -> bool:
    """Whether weights are of a training that has ended without them, or was followed by another one."""
    by = weights.removeprefix(weights_prefix(subject.id)).split("/")[0]
    if not is_id(by):  # imported
        return weights != subject.weights_key
    if weights == subject.weights_key:
        return False
    try:
        job = await stored_job(store, by)
        outcome = await read_outcome(store, by)
    except Missing:  # it went with one of several who were learned in it
        return True
    except Damaged as error:
        log.warning("whether anybody needs %s cannot be told: %s", weights, error)
        return False
    if outcome is None or outcome.is_newer:
        return False  # they may still be published, or are in a way that is not understood
    learned = outcome.learned_of(subject.id)
    if not learned or subject.learned_s > job.accepted_s:
        return True
    says = subject if subject.learned_s == job.accepted_s else learned  # it may not be noted yet
    return weights not in {says.weights_key, *(candidate.weights_key for candidate in says.candidates)}

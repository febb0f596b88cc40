"""What follows from an outcome, whoever does it, as often as may be: one attempt's files count, all others go."""

from pathlib import Path

import pytest

from storage.contract.jobs import job_key
from storage.contract.outcomes import Outcome, Picture, outcome_key
from storage.contract.subject_repository import Subjects
from storage.contract.subjects import Subject, checkpoint_prefix, subject_key, weights_prefix
from storage.kinds.stored import read_job
from storage.kinds.train import TrainedSubject, TrainJob, TrainOutcome
from storage.kinds.train_end import TRAIN
from storage.lifecycle.finalize import delete_job, finalize_job, publish_outcome
from storage.objects.folder import FolderStore


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "store")


async def accepted(store: FolderStore, subject: Subject | None = None, at_s: float = 1.0) -> TrainJob:
    """A training of a new subject, or one more of that one."""
    if not subject:
        subject = Subject(space="home", owner="ada", name="rex", noun="dog", base_model="toyworld")
        await Subjects(store).add(subject)
    job = TrainJob(space="home", owner="ada", subjects=(subject.id,), accepted_s=at_s)
    await store.put(job_key(job.id), job.model_dump_json().encode())
    return job


async def attempted(store: FolderStore, job: TrainJob, attempt: str) -> TrainOutcome:
    """What an attempt would publish, with its files in the store."""
    weights, sample = (
        f"{weights_prefix(job.subjects[0])}{job.id}/{attempt}/w",
        f"jobs/{job.id}/samples/s-1/{attempt}.png",
    )
    for key in (weights, sample, f"{checkpoint_prefix(job.subjects[0], job.id)}000001/c"):
        await store.put(key, attempt.encode())
    return TrainOutcome(
        job=job.id,
        state="done",
        message="",
        pictures=(Picture(key=sample, width_px=1, height_px=1),),
        subjects=(
            TrainedSubject(
                subject=job.subjects[0],
                weights_key=weights,
                weights_sha256=attempt,
                identifier=f"id-{attempt}",
                recipe={"steps": 1},
            ),
        ),
    )


async def published(store: FolderStore, outcome: Outcome) -> bool:
    return await publish_outcome(store, read_job((await store.get(job_key(outcome.job))).data), outcome)


async def test_of_two_attempts_the_one_that_published_counts(store: FolderStore) -> None:
    job = await accepted(store)
    first, late = [await attempted(store, job, name) for name in ("one", "two")]
    assert await published(store, first)
    await finalize_job(store, job)
    await attempted(store, job, "two")  # uploads of a worker that was frozen in the middle
    await store.put(f"jobs/{job.id}/sheet.png", b"what the bot made of it")
    assert not await published(store, late)
    await finalize_job(store, job)
    subject = await Subjects(store).get(job.subjects[0])
    (learned,) = first.subjects
    assert (subject.state, subject.weights_sha256, subject.identifier) == ("ready", "one", "id-one")
    files = {learned.weights_key, first.pictures[0].key, job_key(job.id), outcome_key(job.id)}
    files.add(f"jobs/{job.id}/sheet.png")
    names = set(await store.names(""))
    assert {name for name in names if not name.startswith("names/")} == {*files, subject_key(subject.id)}


async def test_whoever_sees_an_outcome_can_do_what_its_publisher_did_not_come_to(store: FolderStore) -> None:
    job = await accepted(store)
    outcome = await attempted(store, job, "one")
    await published(store, outcome)
    await TRAIN.note_end(store, job, outcome)  # as the bot does, before it says that rex is ready
    before = await Subjects(store).get(job.subjects[0])
    assert before.state == "ready"
    await finalize_job(store, job)
    assert await Subjects(store).get(job.subjects[0]) == before


@pytest.mark.parametrize("newer_first", [False, True])
async def test_of_two_trainings_the_later_one_counts_whichever_ends_first(
    store: FolderStore, newer_first: bool
) -> None:
    old = await accepted(store)
    subject = await Subjects(store).get(old.subjects[0])
    new = await accepted(store, subject, at_s=2.0)
    outcomes = {job.id: await attempted(store, job, name) for job, name in ((old, "old"), (new, "new"))}
    for job in (new, old) if newer_first else (old, new):
        await published(store, outcomes[job.id])
        await finalize_job(store, job)
    subject = await Subjects(store).get(old.subjects[0])
    assert (subject.weights_sha256, subject.job) == ("new", new.id)
    (learned,) = outcomes[new.id].subjects
    assert await store.names(weights_prefix(subject.id)) == [learned.weights_key]


async def test_weights_of_a_training_under_way_are_left_alone(store: FolderStore) -> None:
    old = await accepted(store)
    new = await accepted(store, await Subjects(store).get(old.subjects[0]), at_s=2.0)
    coming = await attempted(store, new, "new")
    await published(store, await attempted(store, old, "old"))
    await finalize_job(store, old)
    assert await store.exists(coming.subjects[0].weights_key)


@pytest.mark.parametrize("state", ["failed", "cancelled"])
async def test_a_subject_that_was_ready_stays_as_it_was(store: FolderStore, state: str) -> None:
    old = await accepted(store)
    await published(store, await attempted(store, old, "old"))
    await finalize_job(store, old)
    before = await Subjects(store).get(old.subjects[0])
    again = await accepted(store, before, at_s=2.0)
    await attempted(store, again, "again")
    await published(store, Outcome.model_validate({"job": again.id, "state": state, "message": ""}))
    await finalize_job(store, again)
    assert await Subjects(store).get(old.subjects[0]) == before
    assert await store.names(weights_prefix(before.id)) == [before.weights_key]
    assert await store.names(f"jobs/{again.id}/") == [job_key(again.id), outcome_key(again.id)]


@pytest.mark.parametrize(("state", "stays"), [("failed", True), ("cancelled", False)])
async def test_a_first_training_without_a_result(store: FolderStore, state: str, stays: bool) -> None:
    job = await accepted(store)
    await attempted(store, job, "one")
    await published(store, Outcome.model_validate({"job": job.id, "state": state, "message": ""}))
    await finalize_job(store, job)
    found = await Subjects(store).find("home", "rex")
    assert (found.state if found else None) == ("failed" if stays else None)
    assert await store.names(f"subjects/{job.subjects[0]}/") == ([subject_key(job.subjects[0])] if stays else [])


async def test_what_comes_late_to_a_deleted_job_goes(store: FolderStore) -> None:
    job = await accepted(store)
    await delete_job(store, job.id)
    await Subjects(store).forget(await Subjects(store).get(job.subjects[0]))
    await publish_outcome(store, job, await attempted(store, job, "late"))
    await finalize_job(store, job)
    assert await store.names("") == []

"""Forgetting a subject: everything goes, a receipt stays, and nobody who comes late brings anything back."""

import os
from pathlib import Path

import pytest

from storage.contract.jobs import job_key
from storage.contract.outcomes import outcome_key
from storage.contract.posted_messages import Posted, note
from storage.contract.subject_repository import Subjects
from storage.contract.subjects import Subject, name_key, subject_key
from storage.ids import new_id
from storage.kinds.imagine import ImagineJob
from storage.kinds.train import TrainJob
from storage.lifecycle.erasure import (
    Erasure,
    Receipt,
    begin,
    clean_receipts,
    erase_subject,
    finish,
    finish_all,
    receipt_key,
)
from storage.objects.folder import FolderStore
from trainer.worker.cache import Cache
from trainer.worker.checkpoint_store import CheckpointStore


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "store")


async def learned(store: FolderStore, name: str = "rex") -> tuple[Subject, TrainJob, set[str]]:
    """A subject with its job, and the names of all that is stored of them."""
    subject = Subject(space="home", owner="ada", name=name, noun="dog", base_model="toyworld")
    await Subjects(store).add(subject)
    job = TrainJob(space="home", owner="ada", subjects=(subject.id,))
    names = {f"subjects/{subject.id}/{rest}" for rest in ("photos/1.png", "weights/w.safetensors")}
    names |= {job_key(job.id), f"jobs/{job.id}/samples/sample-000002.png"}
    for key in names:
        await store.put(key, b"private")
    return subject, job, names | {subject_key(subject.id)}


async def test_a_receipt_lists_what_was_removed_and_nothing_else_stays(store: FolderStore) -> None:
    kept = await learned(store, "tom")
    subject, job, names = await learned(store)
    receipt = await erase_subject(store, subject, [job.id])
    assert set(receipt.removed) == names
    body = (await store.get(receipt_key(subject.id))).data
    assert Receipt.model_validate_json(body) == receipt
    assert not any(word in body for word in (b"rex", b"ada", b"home", b"dog"))
    assert set(await store.names("")) == {*kept[2], name_key("home", "tom"), receipt_key(subject.id)}


async def test_what_two_have_removed_at_once_is_on_one_receipt(store: FolderStore) -> None:
    subject, job, names = await learned(store)
    begun = await begin(store, subject, [job.id])
    await finish(store, begun)
    receipt = await finish(store, begun.model_copy(update={"names": ()}))  # who read the note before, and came too late
    assert set(receipt.removed) == names and not await store.names("forgetting/")


async def test_a_forgetting_that_a_crash_cut_short_is_finished(store: FolderStore) -> None:
    subject, job, names = await learned(store)
    begun = Erasure(subject=subject, jobs=(job.id,), names=tuple(names))
    await store.put(f"forgetting/{subject.id}.json", begun.model_dump_json().encode())
    await store.delete(subject_key(subject.id))  # that far it came
    await finish_all(store)
    receipt = Receipt.model_validate_json((await store.get(receipt_key(subject.id))).data)
    assert set(receipt.removed) == names
    assert await store.names("") == [receipt_key(subject.id)]


@pytest.mark.parametrize("finished_by", ["who began", "who comes after a crash"])
async def test_jobs_that_are_accepted_meanwhile_go_as_well(store: FolderStore, finished_by: str) -> None:
    subject, *_ = await learned(store)
    begun = await begin(store, subject)
    drawing = ImagineJob(
        space="home", owner="ada", prompt="a [rex]", model_prompt="a dog", seed=1, subjects=(subject.id,)
    )
    ended = drawing.model_copy(update={"id": new_id()})
    other = drawing.model_copy(update={"id": new_id(), "subjects": ()})
    for job in (drawing, ended, other):
        await store.put(job_key(job.id), job.model_dump_json().encode())
    await store.put(outcome_key(ended.id), b"-")
    await (finish(store, begun) if finished_by == "who began" else finish_all(store))
    receipt = Receipt.model_validate_json((await store.get(receipt_key(subject.id))).data)
    assert {job_key(drawing.id), job_key(ended.id), outcome_key(ended.id), subject_key(subject.id)} <= {
        *receipt.removed
    }
    assert await store.exists(job_key(other.id)) and not await store.names(f"jobs/{ended.id}/")


async def test_forgetting_one_of_two_outlives_a_damaged_record(store: FolderStore) -> None:
    rex, job, _ = await learned(store)
    tom, *_ = await learned(store, "tom")
    together = job.model_copy(update={"subjects": (*job.subjects, tom.id)})
    await store.put(job_key(job.id), together.model_dump_json().encode())
    await store.put(subject_key(rex.id), b"{torn")
    await erase_subject(store, tom)
    assert await store.exists(receipt_key(tom.id)) and not await store.names(f"subjects/{tom.id}/")


@pytest.mark.parametrize("forgotten", [False, True])
async def test_a_late_checkpoint_stays_only_with_its_subject(
    store: FolderStore, tmp_path: Path, forgotten: bool
) -> None:
    subject, job, _ = await learned(store)
    if forgotten:
        await erase_subject(store, subject, [job.id])
    checkpoints = CheckpointStore(store, job)
    for step in (2, 4, 6):
        path = tmp_path / f"checkpoint-{step}.safetensors"
        path.write_bytes(b"%d" % step)
        checkpoints.add(step, path)
        await checkpoints.settle()
    steps = [name.split("/")[-2] for name in await store.names(checkpoints.prefix)]
    assert steps == ([] if forgotten else ["000004", "000006"])  # the newest two
    # The newest file stays until the training is over, which may go on from it.
    assert [path.name for path in tmp_path.glob("checkpoint-*")] == ["checkpoint-6.safetensors"]


async def test_a_late_checkpoint_of_two_goes_with_either_of_them(store: FolderStore, tmp_path: Path) -> None:
    rex, job, _ = await learned(store)
    tom, *_ = await learned(store, "tom")
    together = job.model_copy(update={"subjects": (*job.subjects, tom.id)})
    await store.put(job_key(job.id), together.model_dump_json().encode())
    await erase_subject(store, tom, [job.id])
    checkpoints = CheckpointStore(store, together)
    (tmp_path / "late").write_bytes(b"2")
    checkpoints.add(2, tmp_path / "late")
    await checkpoints.settle()
    assert not await store.names(checkpoints.prefix)
    assert (await Subjects(store).get(rex.id)).state == "failed"  # it was being learned for the first time


async def test_a_damaged_checkpoint_gives_way_to_the_one_before(store: FolderStore, tmp_path: Path) -> None:
    _, job, _ = await learned(store)
    checkpoints = CheckpointStore(store, job)
    assert await checkpoints.newest(tmp_path) is None
    for step in (2, 4):
        path = tmp_path / "checkpoint"
        path.write_bytes(b"%d" % step)
        checkpoints.add(step, path)
        await checkpoints.settle()
    newest = (await store.names(checkpoints.prefix))[-1]
    await store.put(newest, b"torn")
    begun = await checkpoints.newest(tmp_path)
    assert begun and begun.read_bytes() == b"2"


async def test_workers_drop_what_they_have_of_a_forgotten_subject(store: FolderStore, tmp_path: Path) -> None:
    cache = Cache(store, tmp_path / "cache")
    subject, job, _ = await learned(store)
    other, *_ = await learned(store, "tom")
    mine, theirs = [await cache.path(f"subjects/{s.id}/weights/w.safetensors") for s in (subject, other)]
    assert mine.read_bytes() == b"private"
    await erase_subject(store, subject, [job.id])
    await cache.drop_forgotten()
    assert not mine.parent.parent.exists()
    assert theirs.exists()


async def test_receipts_hold_no_hashes(store: FolderStore) -> None:
    subject, job, names = await learned(store)
    hashes = [letter * 64 for letter in "abc"]
    for digest in hashes:
        await store.put(f"subjects/{subject.id}/photos/{digest}.png", b"private")
    receipt = await erase_subject(store, subject, [job.id])
    assert {f"subjects/{subject.id}/photos/{n}.png" for n in (1, 2, 3)} <= set(receipt.removed)
    assert len(receipt.removed) == len(names) + 2  # photos/1.png was there before
    body = (await store.get(receipt_key(subject.id))).data
    assert not any(digest.encode() in body for digest in hashes)


async def test_old_receipts_lose_their_hashes(store: FolderStore) -> None:
    old = Receipt(
        subject=new_id(), removed=(f"subjects/1/photos/{'a' * 64}.png", "subjects/1/subject.json"), removed_s=1
    )
    await store.put(receipt_key(old.subject), old.model_dump_json().encode())
    await clean_receipts(store)
    clean = Receipt.model_validate_json((await store.get(receipt_key(old.subject))).data)
    assert clean.removed == ("subjects/1/photos/1.png", "subjects/1/subject.json")


async def test_what_was_posted_is_to_be_taken_back(store: FolderStore) -> None:
    subject, job, _ = await learned(store)
    shown, drawn = Posted(platform="slack", file="F1"), Posted(platform="discord", channel="1", message="2")
    await note(store, f"subjects/{subject.id}", shown)
    await note(store, f"jobs/{job.id}", drawn)
    await erase_subject(store, subject, [job.id])
    late = Posted(platform="discord", channel="1", message="3")
    await note(store, f"jobs/{job.id}", late)
    left = [Posted.model_validate_json((await store.get(name)).data) for name in await store.names("retracting/")]
    assert {(posted.platform, posted.message, posted.file) for posted in left} == {
        ("slack", "", "F1"),
        ("discord", "2", ""),
        ("discord", "3", ""),
    }
    assert not await store.names("jobs/") and not await store.names("subjects/")


async def test_half_written_files_are_swept(store: FolderStore) -> None:
    await store.put("chats/local/1.json", b"{}")
    old, new = store.root / "chats/local/.part-old", store.root / "chats/local/.part-new"
    for part in (old, new):
        part.write_bytes(b"private")
    os.utime(old, (0, 0))
    await store.sweep_unfinished(3600)
    assert not old.exists() and new.exists() and await store.exists("chats/local/1.json")

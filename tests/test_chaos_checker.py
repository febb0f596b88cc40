"""The checker of the chaos runs finds what it is there to find."""

from pathlib import Path

import pytest

from bot.messages import Reply
from bot.web.chat_log import Message
from storage.files import FolderStore
from storage.forgetting import forget
from storage.ids import new_id
from storage.jobs import ImagineJob, Outcome, Picture, job_key, outcome_key
from storage.subjects import Subject, Subjects, unaccepted_key
from storage.sweeping import Sweeper
from tests.chaos.checker import Checker
from tests.chaos.told import Witness, told_twice


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "store")


async def subject_in(store: FolderStore) -> Subject:
    subject = Subject(space="home", owner="ada", name="rex", noun="dog", base_model="-", state="failed")
    await Subjects(store).add(subject)
    return subject


async def job_in(store: FolderStore, subject: str | None = None) -> str:
    job = ImagineJob(space="home", owner="ada", prompt="a dog", model_prompt="a dog", seed=1, subject=subject)
    await store.put(job_key(job.id), job.model_dump_json().encode())
    return job.id


async def test_an_accepted_job_ends_or_goes_with_its_subject(store: FolderStore, tmp_path: Path) -> None:
    subject = await subject_in(store)
    ended, forgotten, vanished = await job_in(store), await job_in(store, subject.id), new_id()
    outcome = Outcome(job=ended, state="failed", message="No.")
    await store.put(outcome_key(ended), outcome.model_dump_json().encode())
    await forget(store, subject)
    checker = Checker(store, tmp_path)
    await checker.check([ended, forgotten, vanished])
    assert checker.problems == [f"job {vanished} was accepted and is gone without a word"]


async def test_the_sweep_may_be_left_some_kinds_of_things(store: FolderStore, tmp_path: Path) -> None:
    subject, late = await subject_in(store), new_id()
    for name in (f"jobs/{late}/a/1.png", f"subjects/{late}/photos/1.png", unaccepted_key(subject.id)):
        await store.put(name, late.encode())
    checker = Checker(store, tmp_path)
    assert (await checker.left_to_sweep()).total() == 3 and not checker.problems
    await Sweeper(store, older_s=-1).sweep()
    await checker.check([])
    assert not checker.problems
    left = f"subjects/{(await subject_in(store)).id}/weights/{late}/old"
    await store.put(left, b"-")
    assert not await checker.left_to_sweep()
    assert checker.problems == [f"{left} belongs to nothing"]


def test_a_last_word_is_heard_once() -> None:
    job = new_id()
    picture = Picture(key=f"jobs/{job}/a/1.png", width_px=64, height_px=64)
    done = Reply(text="a dog", job=job, pictures=(picture,))
    witnesses = [Witness(), Witness()]

    def tell(reply: Reply, by: Witness = witnesses[0]) -> None:
        by.tell(job, Message(id=job, said="/imagine a dog", reply=reply))

    tell(Reply(text="Drawing.", state="working", job=job))
    tell(done)
    tell(done.model_copy(update={"pictures": ()}))  # deleted since
    tell(done, witnesses[1])  # which the first could not keep
    assert not told_twice(witnesses)
    tell(done)
    assert told_twice(witnesses) == [f"job {job} is told twice"]
    tell(Reply(text="No.", state="failed", job=job), witnesses[1])
    assert f"job {job} is told as done and failed" in told_twice(witnesses)

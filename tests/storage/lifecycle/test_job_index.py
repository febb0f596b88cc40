"""The indexes of jobs: whatever crashes between two writes, no open job is missed and nothing else stays for good."""

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import TypeVar

import pytest
from arq.connections import ArqRedis

from bot.core.dispatch import Dispatch
from storage.contract.jobs import job_key
from storage.contract.outcomes import Outcome, outcome_key
from storage.contract.posted_messages import POSTED_AS, Posted, jobs_posted_as, note
from storage.contract.subject_repository import Subjects
from storage.contract.subjects import Subject
from storage.errors import StoreError
from storage.ids import new_id
from storage.kinds.ask import AskJob, asker_key, thread_key
from storage.kinds.imagine import ImagineJob
from storage.kinds.stored import read_job
from storage.kinds.train import TrainJob
from storage.lifecycle.erasure import erase_subject
from storage.lifecycle.finalize import delete_job, finalize_job, publish_outcome
from storage.lifecycle.garbage_collection import GarbageCollector
from storage.lifecycle.index_backfill import build_indexes
from storage.lifecycle.job_index import STATE, JobIndex, about_prefix, hashed, space_key
from storage.lifecycle.reconcile import put_back
from storage.lifecycle.repair import check_indexes, check_posted
from storage.objects.folder import FolderStore

T = TypeVar("T")
WRITES = {"_write", "_write_if", "_vacate", "_delete", "_delete_prefix", "_upload"}


class CutOff(FolderStore):
    """A folder store whose process is cut off after so many writes."""

    writes_left = 10**9

    async def _run(self, function: Callable[..., T], key: str, *arguments: object) -> T:
        if function.__name__ in WRITES:
            self.writes_left -= 1
            if self.writes_left < 0:
                raise StoreError("cut off")
        return await super()._run(function, key, *arguments)


@pytest.fixture
def store(tmp_path: Path) -> CutOff:
    return CutOff(tmp_path / "store")


def drawing(number: int = 1, space: str = "home", **more: object) -> ImagineJob:
    fields = {"id": f"{number:020x}", "space": space, "owner": "ada", "prompt": "", "model_prompt": "", "seed": 1}
    return ImagineJob.model_validate({**fields, **more})


async def accept(store: FolderStore, job: ImagineJob | TrainJob | AskJob) -> None:
    await JobIndex(store).add(job)
    await store.put_new(job_key(job.id), job.model_dump_json().encode())


async def end(store: FolderStore, job: ImagineJob | TrainJob) -> None:
    await publish_outcome(store, job, Outcome(job=job.id, state="failed", message=""))
    await finalize_job(store, job)


async def test_jobs_of_a_space_come_newest_first_and_in_pages(store: CutOff, redis: ArqRedis) -> None:
    await build_indexes(store, 10)
    ids = [f"{k << 60:020x}" for k in range(1, 60)] + [f"{k:020x}" for k in range(1, 30)]
    for job in ids:
        await accept(store, drawing(int(job, 16)))
        await accept(store, drawing(int(job, 16) + 1, space="elsewhere"))
    newest = sorted(ids, reverse=True)
    index, dispatch = JobIndex(store), Dispatch(store, redis)
    assert [page async for page in index.of_space("home", page=30)] == [newest[:30], newest[30:60], newest[60:]]
    assert [page async for page in index.of_space("home", before=newest[40], page=100)] == [newest[41:]]
    assert [job.id for job in await dispatch.jobs("home", most=3)] == newest[:3]
    beginning = newest[7][:4]
    assert [job.id for job in await dispatch.jobs("home", beginning=beginning)] == [
        job for job in newest if job.startswith(beginning)
    ]
    assert await dispatch.jobs("home", beginning="../") == [] == await dispatch.jobs("home", beginning="x")


@pytest.mark.parametrize("indexed", [True, False], ids=["indexed", "before jobs are indexed"])
async def test_wherever_accepting_or_ending_is_cut_off_no_open_job_is_missed(
    store: CutOff, redis: ArqRedis, indexed: bool
) -> None:
    if indexed:
        await build_indexes(store, 10)
    for cut_off_after in range(12):
        job = drawing(100 + cut_off_after)
        store.writes_left = cut_off_after
        try:
            await accept(store, job)
            await store.put(f"jobs/{job.id}/attempt-1-a/1.png", b"a picture")
            await end(store, job)
        except StoreError:
            pass
        store.writes_left = 10**9
        accepted, ended = [await store.exists(key(job.id)) for key in (job_key, outcome_key)]
        lost = await put_back(store, redis)
        assert lost == ([job.id] if accepted and not ended else [])
        if accepted:  # the worker gets to it, and what was cut off is made up for
            await end(store, job)
        assert await JobIndex(store).open_jobs() == {}
        assert await store.names(f"jobs/{job.id}/") == ([job_key(job.id), outcome_key(job.id)] if accepted else [])
        assert (job.id in [each.id for each in await Dispatch(store, redis).jobs("home")]) == accepted
        if indexed and not accepted:  # whoever read it has dropped it
            assert not await store.exists(space_key("home", job.id))
        await redis.flushall()


async def test_wherever_deleting_is_cut_off_no_entry_stays_for_good(store: CutOff, redis: ArqRedis) -> None:
    await build_indexes(store, 10)
    rex = Subject(space="home", owner="ada", name="rex", noun="dog", base_model="m")
    await Subjects(store).add(rex)
    for cut_off_after in range(8):
        job = drawing(200 + cut_off_after, subjects=(rex.id,))
        await accept(store, job)
        await end(store, job)
        store.writes_left = cut_off_after
        with pytest.raises(StoreError) if cut_off_after < 5 else nullcontext():
            await delete_job(store, job.id, job)
        store.writes_left = 10**9
        jobs = await Dispatch(store, redis).jobs("home")
        assert [each.id for each in jobs] == [job.id] * (cut_off_after == 0)
        await delete_job(store, job.id, job)
        assert not [name for name in await store.names("") if job.id in name and not name.startswith("jobs-about/")]
    await erase_subject(store, rex)
    assert await store.names(about_prefix(rex.id)) == []


async def test_an_entry_without_a_job_goes_once_it_is_old(store: CutOff, redis: ArqRedis) -> None:
    await build_indexes(store, 10)
    old, young = drawing(), drawing(int(new_id(), 16))
    for job in (old, young):
        await JobIndex(store).add(job)
    assert await put_back(store, redis) == []
    assert list(await JobIndex(store).open_jobs()) == [young.id]
    assert await store.names("jobs-of/") == [space_key("home", young.id)]


async def test_a_damaged_job_keeps_its_entries(store: CutOff, redis: ArqRedis) -> None:
    await build_indexes(store, 10)
    await accept(store, drawing())
    await store.put(job_key(drawing().id), b"{torn")
    await put_back(store, redis)
    assert await Dispatch(store, redis).jobs("home") == []
    await JobIndex(store).drop_stale(drawing().id, hashed("home"))
    assert await store.exists(space_key("home", drawing().id))


async def older_version(store: FolderStore) -> tuple[Subject, list[str]]:
    """Jobs as a version without indexes has left them; the ids of those about the subject."""
    rex = Subject(id=f"{1:020x}", space="home", owner="ada", name="rex", noun="dog", base_model="m")
    await Subjects(store).add(rex)
    about = []
    for number in range(1, 21):
        job = drawing(number, subjects=(rex.id,) if number % 4 == 0 else ())
        await store.put(job_key(job.id), job.model_dump_json().encode())
        if number % 5:
            ended = Outcome(job=job.id, state="failed", message="")
            await store.put(outcome_key(job.id), ended.model_dump_json().encode())
        if number == 7:  # of which nobody has settled the end
            await store.put(f"jobs/{job.id}/unsettled", b"")
            await store.put(f"jobs/{job.id}/attempt-1-a/1.png", b"of an attempt that did not win")
        about += [job.id] if job.subjects else []
    return rex, about


async def shown(store: FolderStore, redis: ArqRedis, rex: Subject) -> tuple[list[str], list[str], list[str]]:
    """What the indexes are for: what is open, the jobs of a space, those about a subject."""
    index, dispatch = JobIndex(store), Dispatch(store, redis)
    jobs = [job.id for job in await dispatch.jobs("home", most=10)]
    return list(await index.open_jobs()), jobs, await index.about(rex.id)


async def test_jobs_of_an_older_version_are_found_before_while_and_after_they_are_indexed(
    store: CutOff, redis: ArqRedis
) -> None:
    rex, about = await older_version(store)
    before = await shown(store, redis, rex)
    open_ = [f"{number:020x}" for number in (5, 7, 10, 15, 20)]
    assert before == (open_, [f"{number:020x}" for number in range(20, 10, -1)], about)
    while not await build_indexes(store, -1):  # a page at a time, as if the process ended after each
        assert await shown(store, redis, rex) == before
    assert await JobIndex(store).complete() and await shown(store, redis, rex) == before
    await put_back(store, redis)  # settles the one whose end nobody has settled
    assert list(await JobIndex(store).open_jobs()) == [job for job in open_ if job != f"{7:020x}"]
    now = await shown(store, redis, rex)
    for name in [*await store.names("jobs-of/"), *await store.names("open/")]:
        await store.delete(name)
    await JobIndex(store).add(drawing(999))  # of which there is no job
    assert len([found async for found in check_indexes(store, True)]) == 22  # of twenty jobs, and two entries too many
    assert len([found async for found in check_indexes(store, False)]) == 22
    assert [found async for found in check_indexes(store, False)] == []
    assert await shown(store, redis, rex) == now
    await erase_subject(store, rex)
    assert (await shown(store, redis, rex))[2] == [] and not any([await store.exists(job_key(job)) for job in about])


async def test_a_job_that_an_older_version_accepts_later_is_indexed_by_the_sweep(
    store: CutOff, redis: ArqRedis
) -> None:
    await build_indexes(store, 10)
    job = drawing()
    await store.put(job_key(job.id), job.model_dump_json().encode())
    assert await put_back(store, redis) == []
    await GarbageCollector(store).sweep()
    assert await put_back(store, redis) == [job.id]
    assert read_job((await store.get(job_key(job.id))).data) == job


async def test_questions_are_found_by_their_person_and_thread_newest_first(store: CutOff, redis: ArqRedis) -> None:
    await build_indexes(store, 10)
    places = (("ada", "t"), ("bob", "t"), ("ada", ""), ("ada", "other"))
    jobs = [AskJob(space="home", owner=owner, question="?", thread=thread) for owner, thread in places]
    for job in jobs:
        await accept(store, job)
    index = JobIndex(store)
    assert await index.under("home", thread_key("t"), 5) == [jobs[1], jobs[0]]
    assert await index.under("home", asker_key("ada"), 2) == [jobs[3], jobs[2]]
    assert await index.under("elsewhere", asker_key("ada"), 5) == []
    await delete_job(store, jobs[3].id)
    assert await index.under("home", asker_key("ada"), 1) == [jobs[2]]
    for job in (jobs[0], jobs[1], jobs[2]):
        await delete_job(store, job.id, job)
    assert await store.names("jobs-under/") == []


async def posted_question(store: FolderStore) -> AskJob:
    """A question that is accepted, with a note on its message."""
    job = AskJob(id=f"{5:020x}", space="home", owner="ada", question="?", thread="t")
    await accept(store, job)
    await note(store, f"jobs/{job.id}", Posted(platform="discord", channel="5", message="6"))
    return job


async def test_questions_of_a_version_that_indexed_less_are_found(store: CutOff, redis: ArqRedis) -> None:
    job = await posted_question(store)
    for name in [*await store.names("jobs-under/"), *await store.names(POSTED_AS)]:
        await store.delete(name)
    await store.put(STATE, b'{"version": 1, "complete": true}')
    assert await JobIndex(store).under("home", thread_key("t"), 5) == []
    assert await build_indexes(store, 10)
    assert await JobIndex(store).under("home", thread_key("t"), 5) == [job]
    assert await jobs_posted_as(store, "discord", "6", 5) == [job.id]


async def test_repair_indexes_messages_that_lead_nowhere_and_drops_entries_of_none(store: CutOff) -> None:
    await build_indexes(store, 10)
    job = await posted_question(store)
    (entry,) = await store.names(POSTED_AS)
    await store.delete(entry)
    orphan = f"{POSTED_AS}{'0' * 40}/{job.id}"
    await store.put(orphan, b"")
    assert [each.key async for each in check_posted(store, True)] == [entry, orphan]
    assert len([each async for each in check_posted(store, False)]) == 2
    assert await store.names(POSTED_AS) == [entry] and await jobs_posted_as(store, "discord", "6", 5) == [job.id]
    assert [each async for each in check_posted(store, True)] == []
    for name in await store.names("jobs-under/"):
        await store.delete(name)
    assert len([each async for each in check_indexes(store, False)]) == 1
    assert await JobIndex(store).under("home", thread_key("t"), 5) == [job]

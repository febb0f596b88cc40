"""What Redis forgets is put back from the store: every open job, once."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from arq.connections import ArqRedis

from storage.contract.jobs import job_key
from storage.contract.outcomes import Outcome, Picture, outcome_key
from storage.contract.posted_messages import Posted, note, record_key
from storage.contract.records import parsed
from storage.contract.subject_repository import Subjects
from storage.contract.subjects import Subject, checkpoint_prefix, name_key, subject_key, unaccepted_key, weights_prefix
from storage.errors import SetupError
from storage.ids import new_id
from storage.kinds.imagine import ImagineJob, ImagineOutcome
from storage.kinds.stored import read_job
from storage.kinds.train import TrainJob
from storage.lifecycle import reconcile
from storage.lifecycle.erasure import UNDER_WAY, Erasure, receipt_key
from storage.lifecycle.finalize import finalize_job, publish_outcome
from storage.lifecycle.garbage_collection import GarbageCollector
from storage.lifecycle.reconcile import keep_queued, put_back
from storage.objects.folder import FolderStore
from storage.queue import broker
from tests.servers.backing import valkey
from tests.support.stores import records


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path)


async def accepted(store: FolderStore, ended: bool = False) -> str:
    job = ImagineJob(space="home", owner="ada", prompt="a dog", model_prompt="a dog", seed=1)
    await store.put(job_key(job.id), job.model_dump_json().encode())
    if ended:
        await store.put(outcome_key(job.id), b"{}")
    return job.id


async def until(happened: Callable[[], bool]) -> None:
    async with asyncio.timeout(120):
        while not happened():  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def queued(redis: ArqRedis) -> list[str]:
    return [job.decode() for job in await redis.zrange(broker.queue_name("imagine"), 0, -1)]


async def test_open_jobs_are_put_back_in_their_order_and_once(store: FolderStore, redis: ArqRedis) -> None:
    first = await accepted(store)
    await accepted(store, ended=True)
    second = await accepted(store)
    assert await put_back(store, redis) == [first, second] == await queued(redis)
    assert await put_back(store, redis) == []
    await redis.flushall()
    assert await put_back(store, redis) == [first, second] == await queued(redis)


async def test_what_nobody_came_to_settle_is_settled(store: FolderStore, redis: ArqRedis) -> None:
    job = read_job((await store.get(job_key(await accepted(store)))).data)
    await store.put(f"jobs/{job.id}/attempt-1/1.png", b"of an attempt that did not win")
    await publish_outcome(store, job, Outcome(job=job.id, state="cancelled", message=""))
    assert await put_back(store, redis) == []
    assert await store.names(f"jobs/{job.id}/") == [job_key(job.id), outcome_key(job.id)]


async def test_what_belongs_to_nothing_is_swept_once_it_is_old(store: FolderStore) -> None:
    old, young = f"{1:020x}", new_id()
    kept = [job_key(await accepted(store))]
    for prefix in (f"jobs/{old}", f"subjects/{old}", f"jobs/{young}", f"subjects/{young}"):
        await store.put(f"{prefix}/attempt-1/late", b"")
    await store.put(f"jobs/{kept[0].split('/')[1]}/attempt-1/late", b"")
    assert await GarbageCollector(store).sweep() == [f"jobs/{old}/attempt-1/late", f"subjects/{old}/attempt-1/late"]
    assert len(await records(store)) == 4


@pytest.mark.parametrize("kind", ["jobs", "subjects"])
async def test_messages_about_what_is_swept_are_taken_back(store: FolderStore, kind: str) -> None:
    gone = f"{kind}/{1:020x}"
    await store.put(record_key(gone), b"")
    await note(store, gone, Posted(platform="discord", channel="5", message="6"))
    await store.delete(record_key(gone))  # a deletion that a crash cut short
    await GarbageCollector(store).sweep()
    (left,) = await store.names("retracting/discord/")
    assert parsed(Posted, (await store.get(left)).data, left).message == "6"
    assert not await store.names(f"{gone}/") and not await store.names("posted-as/")


async def test_what_comes_late_to_a_job_that_is_settled_goes(store: FolderStore) -> None:
    rex = Subject(id=f"{1:020x}", space="s", owner="o", name="rex", noun="dog", base_model="m")
    await Subjects(store).add(rex)
    job = TrainJob(id=f"{2:020x}", space="s", owner="o", subjects=(rex.id,))
    drawing = ImagineJob(id=f"{3:020x}", space="s", owner="o", prompt="", model_prompt="", seed=1)
    running = job.model_copy(update={"id": f"{4:020x}"})
    for each in (job, drawing, running):
        await store.put(job_key(each.id), each.model_dump_json().encode())
    picture = Picture(key=f"jobs/{drawing.id}/attempt-1-a/1.png", width_px=1, height_px=1)
    ended = ImagineOutcome(job=drawing.id, state="done", message="", pictures=(picture,))
    for each, outcome in ((job, Outcome(job=job.id, state="failed", message="")), (drawing, ended)):
        await publish_outcome(store, each, outcome)
        await store.put(picture.key, b"published")
        await finalize_job(store, each)
    before = await records(store)
    kept = [f"{checkpoint_prefix(rex.id, running.id)}000100/a.safetensors", f"jobs/{drawing.id}/sheet.png"]
    late = [
        f"{checkpoint_prefix(rex.id, job.id)}000100/a.safetensors",
        f"{weights_prefix(rex.id)}{job.id}/attempt-1-a/w",
    ]
    late += [f"jobs/{each.id}/attempt-2-b/1.png" for each in (job, drawing)]
    sweeper = GarbageCollector(store)
    for _ in range(2):  # as long as the process lives
        for name in (*kept, *late):
            await store.put(name, b"late")
        assert set(await sweeper.sweep()) <= set(late)
        assert await records(store) == sorted([*before, *kept])
        assert await sweeper.sweep() == []


@pytest.mark.parametrize("written", [True, False], ids=["accepted", "never accepted"])
async def test_a_subject_whose_training_was_never_accepted_is_forgotten(store: FolderStore, written: bool) -> None:
    job = await accepted(store) if written else new_id()
    rex = Subject(id=f"{1:020x}", space="s", owner="o", name="rex", noun="dog", base_model="m", job=job)
    await store.put(unaccepted_key(rex.id), job.encode())
    await Subjects(store).add(rex)
    await store.put(f"subjects/{rex.id}/photos/1.png", b"")
    swept = await GarbageCollector(store).sweep()
    assert bool(swept) != written and bool(await Subjects(store).in_space("s")) == written
    assert not await store.exists(unaccepted_key(rex.id))
    assert len(await records(store)) == (4 if written else 0)


async def test_a_damaged_mark_takes_nothing_from_an_accepted_training(store: FolderStore) -> None:
    job = await accepted(store)
    rex = Subject(id=f"{1:020x}", space="s", owner="o", name="rex", noun="dog", base_model="m", job=job)
    await Subjects(store).add(rex)
    for mark in (new_id().encode(), b"../../x", b"\xff", b""):
        await store.put(unaccepted_key(rex.id), mark)
        await GarbageCollector(store).sweep()
        assert await Subjects(store).get(rex.id) == rex


async def test_names_of_subjects_that_are_gone_are_freed_once_they_are_old(store: FolderStore) -> None:
    subjects = Subjects(store)
    here, gone, young = (
        Subject(id=id, space="s", owner="o", name=name, noun="dog", base_model="m")
        for id, name in ((new_id(), "here"), (f"{1:020x}", "gone"), (new_id(), "young"))
    )
    for subject in (here, gone, young):
        await subjects.add(subject)
    for subject in (gone, young):
        await store.delete(subject_key(subject.id))
    assert await GarbageCollector(store).sweep() == [name_key("s", "gone")]
    assert [subject.name for subject in await subjects.in_space("s")] == ["here"]
    assert await GarbageCollector(store, older_s=-1).sweep() == [name_key("s", "young")]


@pytest.mark.parametrize("torn", ["job", "outcome", "subject"])
async def test_what_is_damaged_does_not_hold_up_the_others(
    store: FolderStore, redis: ArqRedis, caplog: pytest.LogCaptureFixture, torn: str
) -> None:
    rex = Subject(space="home", owner="ada", name="rex", noun="dog", base_model="m")
    await Subjects(store).add(rex)
    job = TrainJob(id=f"{1:020x}", space="home", owner="ada", subjects=(rex.id,))
    await store.put(job_key(job.id), job.model_dump_json().encode())
    await publish_outcome(store, job, Outcome(job=job.id, state="failed", message=""))
    key = {"job": job_key(job.id), "outcome": outcome_key(job.id), "subject": subject_key(rex.id)}[torn]
    await store.put(key, b"{torn")
    lost = await accepted(store)
    assert await put_back(store, redis) == [lost] == await queued(redis)
    assert job.id in caplog.text and (torn == "job" or key in caplog.text)


async def test_a_job_over_which_the_store_fails_does_not_hold_up_the_others(
    store: FolderStore, redis: ArqRedis, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    failing, fine = await accepted(store), await accepted(store)
    path = tmp_path / job_key(failing)
    path.unlink()
    path.symlink_to(path)  # not even root can read that
    assert await put_back(store, redis) == [fine] == await queued(redis)
    assert f"job {failing} is put back or settled later" in caplog.text
    await GarbageCollector(store, older_s=-1).sweep()
    assert f"jobs/{failing} is swept later" in caplog.text


async def test_whoever_looks_outlives_what_is_damaged(
    store: FolderStore, redis: ArqRedis, caplog: pytest.LogCaptureFixture
) -> None:
    torn, old = f"{UNDER_WAY}{new_id()}.json", f"{1:020x}"
    await store.put(torn, b"{torn")
    for key in (unaccepted_key(old), subject_key(old)):
        await store.put(key, b"\xff")
    await store.put(name_key("home", "rex"), b"\xff")
    await store.put(f"subjects/{old[:-1]}2/photos/1.png", b"of nobody")
    rex = Subject(space="home", owner="ada", name="rex", noun="dog", base_model="m")
    begun = Erasure(subject=rex, jobs=(), names=())
    await store.put(f"{UNDER_WAY}{rex.id}.json", begun.model_dump_json().encode())
    looking = asyncio.create_task(keep_queued(store, redis, 0.1))
    async with asyncio.timeout(120):
        while await store.names("subjects/") != [subject_key(old), unaccepted_key(old)]:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    assert not looking.done() and await store.exists(receipt_key(rex.id))
    assert torn in caplog.text and unaccepted_key(old) in caplog.text
    assert not [record for record in caplog.records if record.exc_info]
    looking.cancel()


async def test_one_of_many_looks_and_again_when_redis_was_emptied(
    store: FolderStore, redis: ArqRedis, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(reconcile, "POLL_S", 0.05)
    job = await accepted(store)
    looking = [asyncio.create_task(keep_queued(store, redis, 0.1)) for _ in range(3)]
    for times in (1, 2):
        await until(lambda times=times: caplog.text.count("is put back") == times)
        await asyncio.sleep(0.3)
        assert (caplog.text.count("is put back"), await queued(redis)) == (times, [job])
        await redis.flushall()
    for task in looking:
        task.cancel()
    await asyncio.gather(*looking, return_exceptions=True)


async def test_whoever_looks_outlives_redis(
    store: FolderStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(reconcile, "POLL_S", 0.05)
    with valkey() as url:
        redis = await broker.connect(url)
    looking = asyncio.create_task(keep_queued(store, redis, 0.1))
    await until(lambda: caplog.text.count("cannot look for lost jobs") > 1)
    assert not looking.done()
    looking.cancel()
    await redis.aclose()


async def test_a_worker_or_bot_waits_for_a_redis_that_is_not_there_yet(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    socket = tmp_path / "socket"
    connecting = asyncio.create_task(broker.connect_patiently(f"unix://{socket}"))
    await asyncio.sleep(1)
    with valkey() as url:
        socket.symlink_to(url.removeprefix("unix://"))
        redis = await asyncio.wait_for(connecting, 60)
        await redis.aclose()
    (said,) = [record.message for record in caplog.records if record.name == "storage.queue.broker"]
    assert said.startswith("There is no Redis at unix://") and said.endswith("I keep trying.")
    with pytest.raises(SetupError, match="REDIS_URL has to begin with"):
        await broker.connect_patiently("http://127.0.0.1")

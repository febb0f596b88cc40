"""A disk that is full to the last byte: forgetting, deleting and cancelling work, and make room."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest
from arq.connections import ArqRedis

from bot.app import Darkroom
from bot.core.messages import Reply, Request
from storage.contract.outcomes import Outcome, outcome_key
from storage.contract.posted_messages import Posted, note
from storage.contract.subjects import Subject
from storage.errors import Full
from storage.kinds.imagine import ImagineJob
from storage.kinds.train import TrainJob
from storage.lifecycle.erasure import receipt_key
from storage.objects.folder import FolderStore
from storage.settings.bot import BotSettings
from tests.servers.backing import opened
from tests.support.loop_mounts import ext4_image, mounted


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ext4_image(tmp_path_factory.mktemp("disk") / "disk.img", 8 * 2**20)


@pytest.fixture
async def app(image: Path, redis: ArqRedis, tmp_path: Path) -> AsyncIterator[Darkroom]:
    """A bot whose store is on a small disk of its own, with a subject that has been drawn, and open jobs."""
    with mounted(image) as disk:
        store = FolderStore(disk / "store")
        darkroom = Darkroom(BotSettings(DARKROOM_HOME=tmp_path), store, redis)
        for task in darkroom._upkeep:
            task.cancel()
        yield darkroom
        for name in ("filler", "another"):
            (disk / name).unlink(missing_ok=True)
        await store.delete_prefix("")


def fill(store: FolderStore) -> None:
    """Write until there is no byte left: root may use what is reserved, too."""
    for size_bytes in (2**16, 1):
        with open(store.root.parent / "filler", "ab", buffering=0) as file:
            try:
                while file.write(bytes(size_bytes)):
                    pass
            except OSError:
                continue
    with pytest.raises(OSError, match="No space"):
        (store.root.parent / "another").write_bytes(b"x")


async def said(app: Darkroom, command: str, **arguments: str) -> Reply:
    request = Request(space="local", user="you", command=command, arguments=arguments, confirmed=True)
    last = None
    async with aclosing(app.answer(request)) as replies:
        async for last in replies:
            if last.job == request.id:
                break
    assert last
    return last


async def learned(app: Darkroom, state: str = "ready") -> Subject:
    subject = Subject(space="local", owner="you", name="rex", noun="dog", base_model="m", state=state)
    await app.subjects.add(subject)
    await app.store.put(f"subjects/{subject.id}/photos/1.png", bytes(5000))
    return subject


async def drawing(app: Darkroom, subject: Subject, done: bool) -> ImagineJob:
    job = ImagineJob(
        space="local",
        owner="you",
        said="/imagine a [rex] dog",
        prompt="a",
        model_prompt="a",
        seed=1,
        subjects=(subject.id,),
    )
    await app.dispatch.accept(job)
    if done:
        outcome = Outcome(job=job.id, state="done", message="a")
        await app.store.put_new(outcome_key(job.id), outcome.model_dump_json().encode())
    return job


async def test_a_subject_is_forgotten(app: Darkroom) -> None:
    rex = await learned(app)
    await drawing(app, rex, done=True)
    await drawing(app, rex, done=False)
    fill(app.store)
    assert (await said(app, "dreambooth forget", name="rex")).text.startswith("Forgot rex")
    assert await app.store.names("") == [receipt_key(rex.id)]


@pytest.mark.parametrize("command", ["dreambooth forget", "forget-me"])
async def test_a_subject_with_messages_is_forgotten_and_these_are_taken_back(app: Darkroom, command: str) -> None:
    rex = await learned(app)
    job = await drawing(app, rex, done=True)
    for home in (f"subjects/{rex.id}", f"jobs/{job.id}"):
        for message in range(3):
            await note(app.store, home, Posted(platform="slack", channel="C1", message=f"{home}.{message}"))
    fill(app.store)
    arguments = {"name": "rex"} if command == "dreambooth forget" else {}
    assert (await said(app, command, **arguments)).text.startswith("Forgot")
    left = [name for name in await app.store.names("") if name != receipt_key(rex.id)]
    assert len(left) == 6 and {name.rpartition("/")[0] for name in left} == {"retracting/slack"}


async def test_pictures_are_deleted(app: Darkroom) -> None:
    job = await drawing(app, await learned(app), done=True)
    fill(app.store)
    assert (await said(app, "delete", job=job.id)).text == "Deleted 0 pictures."
    assert await app.store.names("jobs") == []


async def test_a_drawing_is_cancelled(app: Darkroom) -> None:
    job = await drawing(app, await learned(app), done=False)
    fill(app.store)
    assert (await said(app, "dreambooth cancel", job=job.id)).text == "Stopped: /imagine a [rex] dog"
    assert await app.store.names("jobs") == await app.store.names("open/") == []


async def test_a_first_training_is_cancelled_and_leaves_nothing(app: Darkroom) -> None:
    rex = await learned(app, "learning")
    job = TrainJob(space="local", owner="you", said="/dreambooth train rex dog", subjects=(rex.id,))
    await app.dispatch.accept(job)
    fill(app.store)
    assert (await said(app, "dreambooth cancel", job=job.id)).state == "done"
    assert await app.store.names("") == []


async def test_what_needs_room_says_that_there_is_none(app: Darkroom) -> None:
    fill(app.store)
    reply = await said(app, "imagine", prompt="a dog")
    assert "disk of the storage is full" in reply.text and reply.fault == "ours"
    with pytest.raises(Full, match="No space left on device"):
        await app.store.put("a/b", b"x")


async def test_a_store_that_is_full_can_be_opened_to_make_room(app: Darkroom) -> None:
    rex = await learned(app)
    fill(app.store)
    store = await opened(str(app.store.root))
    await store.delete_prefix(f"subjects/{rex.id}/photos/")
    await store.put("a/b", b"x")


async def test_a_queue_that_cannot_write_does_not_stand_in_the_way(app: Darkroom, redis: ArqRedis) -> None:
    rex = await learned(app)
    await redis.config_set("min-replicas-to-write", 9)  # refuses writes, as a Valkey does whose disk is full
    fill(app.store)
    forgotten = await said(app, "dreambooth forget", name="rex")
    await redis.config_set("min-replicas-to-write", 0)
    assert forgotten.text.startswith("Forgot rex")
    assert not await app.store.exists(f"subjects/{rex.id}/subject.json")

"""Limits as people meet them: too fast, too much, too many; and a worker without room, which lets jobs wait."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from arq.worker import func

from bot.app import Darkroom
from bot.core.messages import Reply, Request
from storage.contract.outcomes import outcome_key
from storage.kinds.imagine import ImagineJob
from storage.lifecycle.reconcile import put_back
from storage.queue import broker
from storage.settings.bot import BotSettings
from storage.settings.trainer import TrainerSettings
from tests.conftest import photos_of_a_character
from tests.servers.backing import valkey
from tests.support.stores import records
from trainer.worker.announcement import announce
from trainer.worker.host_resources import HostResources
from trainer.worker.queue_worker import QueueWorker

pytestmark = pytest.mark.timeout(360)
Bots = Callable[..., Awaitable[Darkroom]]


@pytest.fixture
async def bots(tmp_path: Path) -> AsyncIterator[Bots]:
    """Opens bots of one deployment that has no worker; their settings as given."""
    opened: list[Darkroom] = []
    with valkey() as url:

        async def bot(**settings: Any) -> Darkroom:
            known = BotSettings(DARKROOM_HOME=str(tmp_path), DARKROOM_PHOTO_MIN_PX="64", **settings)
            opened.append(await Darkroom.open(known, url))
            return opened[-1]

        yield bot
        for one in opened:
            await one.close()


async def first(app: Darkroom, command: str, user: str = "ada", space: str = "home", **arguments: object) -> Reply:
    """The first reply that is more than a sign of life, or that stands for a job."""
    given = {name: str(value) for name, value in arguments.items()}
    uploads = photos_of_a_character(2) if command == "dreambooth train" else ()
    request = Request(space=space, user=user, command=command, arguments=given, uploads=uploads)
    async with aclosing(app.answer(request)) as replies:
        async for reply in replies:
            if reply.job or reply.state != "working":
                return reply
    raise AssertionError("no answer")


async def test_a_person_may_have_so_many_requests_and_a_space_so_many(bots: Bots) -> None:
    few = {"DARKROOM_PICTURES_PER_PERSON": 2, "DARKROOM_PICTURES_PER_SPACE": 3}
    one, other = await bots(**few), await bots(**few)
    accepted = await asyncio.gather(*(first(app, "imagine", prompt="a dog") for app in (one, other, one, other)))
    assert sorted(bool(reply.job) for reply in accepted) == [False, False, True, True]
    refused = next(reply for reply in accepted if not reply.job)
    assert refused.text == (
        "You have 2 requests waiting or running, which is the limit. "
        "Wait until one is done, or cancel one with /dreambooth cancel."
    )
    assert (await first(one, "imagine", "bob", prompt="a dog")).job
    full = await first(one, "imagine", "eve", prompt="a dog")
    assert full.text == "3 requests wait or run here already, which is the limit. Please try again soon."
    assert (await first(one, "imagine", "eve", space="elsewhere", prompt="a dog")).job

    mine = next(reply.job for reply in accepted if reply.job)
    assert (await first(other, "dreambooth cancel", job=mine)).text.startswith("Stopped")
    assert (await first(one, "imagine", prompt="a dog")).job


async def test_trainings_are_counted_apart_and_a_refused_one_leaves_nothing(bots: Bots) -> None:
    app = await bots(DARKROOM_PICTURES_PER_PERSON=1, DARKROOM_TRAININGS_PER_PERSON=1)
    assert (await first(app, "imagine", prompt="a dog")).job
    assert (await first(app, "dreambooth train", name="one", **{"class": "dog"})).job
    kept = await records(app.store)
    refused = await first(app, "dreambooth train", name="two", **{"class": "dog"})
    assert refused.text.startswith("You have 1 training waiting or running, which is the limit.")
    assert await records(app.store) == kept
    await app.redis.flushall()  # what waits is put back before long; nobody is refused meanwhile, nor counted twice
    assert (await first(app, "dreambooth train", name="two", **{"class": "dog"})).job


async def test_who_asks_too_fast_is_told_when_to_go_on(bots: Bots) -> None:
    app = await bots(DARKROOM_REQUESTS_PER_MINUTE=3)
    told = [(await first(app, "help")).fault for _ in range(4)]
    assert told == ["", "", "", "input"]
    assert "3 requests a minute. Try again in" in (await first(app, "help")).text
    assert not (await first(app, "help", "bob")).fault
    (key,) = [key async for key in app.redis.scan_iter("darkroom:pace:*bob")]
    await app.redis.persist(key)  # as where it lapsed between two commands of an older server
    assert not (await first(app, "help", "bob")).fault
    assert 0 < await app.redis.ttl(key) <= 60


async def test_more_pictures_than_can_be_drawn_are_refused(bots: Bots) -> None:
    app = await bots()
    refused = await first(app, "imagine", prompt="a dog", count=16, size=2048)
    assert refused.text == (
        "16 pictures of 2048×2048 pixels are too much for one request. Ask for 4 at most, or for a smaller size."
    )
    assert (await first(app, "imagine", prompt="a dog", count=4, size=2048)).job


@pytest.mark.slow
async def test_one_request_is_served_beside_fifty_of_somebody_else(app: Darkroom) -> None:
    def drawing(owner: str) -> ImagineJob:
        return ImagineJob(
            space="fair", owner=owner, prompt="a dog", model_prompt="a dog", seed=1, count=1, steps=10, scheduler="ddim"
        )

    adas, bobs = [drawing("ada") for _ in range(50)], drawing("bob")
    for job in adas:
        await app.dispatch.accept(job)

    async def done() -> int:
        return sum([await app.store.exists(outcome_key(job.id)) for job in adas])

    async with asyncio.timeout(120):
        while not await done():  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    before = await done()
    await app.dispatch.accept(bobs)
    told = [reply async for reply in app.watch(bobs.id)]
    assert told[-1].state == "done"
    assert await done() - before <= 10  # two, and some while we were told; by order of arrival it were 49
    # The one that is drawn, the one taken ahead, and the one whose turn came before.
    assert max(reply.progress.place for reply in told if reply.progress) <= 3
    last = adas[-1]
    async with aclosing(app.watch(last.id)) as replies:
        async for waiting in replies:
            if waiting.progress and not waiting.progress.obstacle:  # on a busy machine workers may seem to be away
                break
    place = (await app.dispatch.queues.view("imagine")).ahead(last.id)
    assert place > 20 and abs(waiting.progress.place - place) <= 2
    assert re.search(r"Waiting: \d+ pictures ahead of you, about .* s left\.", waiting.text), waiting.text
    for job in adas:
        await app.dispatch.cancel(job)


async def test_a_worker_without_room_lets_jobs_wait(bots: Bots, caplog: pytest.LogCaptureFixture) -> None:
    app = await bots()
    done = asyncio.Event()

    async def work(ctx: dict[str, Any], job_id: str) -> None:
        done.set()

    room = HostResources(TrainerSettings(DARKROOM_HOME=app.settings.home, DARKROOM_DISK_LEAST_BYTES=2**62))

    async def has_room() -> bool:
        return not room.lacks()

    functions = [func(work, name=broker.RUN_JOB)]
    worker = QueueWorker(app.redis, "imagine", functions, lease_s=2, poll_s=0.05, may_take=has_room)
    working = [asyncio.create_task(worker.run()), asyncio.create_task(announce(app.redis, ["imagine"], room))]
    await asyncio.sleep(0.5)
    job = (await first(app, "imagine", prompt="a dog")).job
    async with asyncio.timeout(60), aclosing(app.watch(str(job))) as replies:
        async for reply in replies:
            if reply.text == "Waiting: the workers have too little disk space at the moment.":
                break
    await asyncio.sleep(1)  # in which it would be taken
    assert "taking no jobs" in caplog.text and str(app.settings.home) in caplog.text
    assert not done.is_set()
    room.settings = TrainerSettings(DARKROOM_HOME=app.settings.home)
    await asyncio.wait_for(done.wait(), 60)
    await worker.stop()
    for task in working:
        task.cancel()
    await asyncio.gather(*working, return_exceptions=True)


@pytest.mark.parametrize("command", ["imagine", "dreambooth train"])
async def test_what_is_accepted_while_the_queue_fails_is_said_to_be_and_queued_later(bots: Bots, command: str) -> None:
    app = await bots()
    kind = "train" if command == "dreambooth train" else "imagine"
    await app.redis.set(broker.queue_name(kind), b"no queue")  # so that queueing fails, once all is written down
    asked = {"name": "rex", "class": "dog"} if kind == "train" else {"prompt": "a dog"}
    reply = await first(app, command, **asked)
    assert reply.state == "working" and "is accepted" in reply.text and reply.job
    assert await app.dispatch.job(reply.job)
    await app.redis.flushdb()
    assert reply.job in await put_back(app.store, app.redis)

"""The follower on this machine: one message takes every reply, to the end or as long as there is patience."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from redis.exceptions import RedisError

from bot.app import Darkroom
from bot.core.messages import Reply, Request
from bot.delivery import follower as follower_module
from bot.delivery.follower import INTERRUPTED, Follower
from bot.delivery.in_place import InPlacePoster, NullPostStore
from storage.ids import new_id
from storage.kinds.imagine import ImagineJob
from tests.servers.backing import valkey
from tests.support.manual_worker import Hand
from tests.support.web_chat import settings_of

pytestmark = pytest.mark.timeout(300)


class Screen:
    """What was shown, newest last."""

    def __init__(self) -> None:
        self.shown: list[Reply] = []

    async def show(self, message: str, reply: Reply) -> None:
        self.shown.append(reply)

    async def until(self, words: str) -> None:
        async with asyncio.timeout(120):
            while not any(words in reply.text for reply in self.shown):  # noqa: ASYNC110
                await asyncio.sleep(0.02)


@pytest.fixture
def queue() -> Iterator[ExitStack]:
    """Ends the queue when it is closed."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture
async def app(tmp_path: Path, queue: ExitStack) -> AsyncIterator[Darkroom]:
    url = queue.enter_context(valkey())
    app = await Darkroom.open(settings_of(tmp_path, url), url)
    yield app
    await app.close()


def asked(command: str, **arguments: str) -> Request:
    return Request(space="local", user="you", command=command, arguments=arguments)


async def test_a_request_is_shown_from_its_acceptance_to_its_end(app: Darkroom) -> None:
    screen, request = Screen(), asked("imagine", prompt="a dog in Paris")
    poster = InPlacePoster("test", screen.show)
    follower = Follower(app, poster, NullPostStore())
    await follower.answer(request, poster.post(request.id))
    await screen.until("Waiting: no worker is running")
    (job,) = await app.dispatch.jobs("local")
    assert isinstance(job, ImagineJob) and job.id == request.id
    await Hand(app).draw(job)
    await screen.until("a dog in Paris")
    assert screen.shown[-1].state == "done" and len(screen.shown[-1].pictures) == job.count
    await follower.close()


async def test_what_is_wrong_is_shown_there_too_and_nothing_is_kept(app: Darkroom) -> None:
    screen, request = Screen(), asked("imagine", prompt="a [rex] dog")
    poster = InPlacePoster("test", screen.show)
    follower = Follower(app, poster, NullPostStore())
    await follower.answer(request, poster.post(request.id))
    assert [reply.fault for reply in screen.shown] == ["input"] and follower.at_rest
    await follower.follow_to_end(poster.post(new_id()))
    assert screen.shown[-1].text == INTERRUPTED
    assert not await app.store.names("posts/")


async def test_a_queue_that_is_away_is_waited_for_as_long_as_there_is_patience(app: Darkroom, queue: ExitStack) -> None:
    screen, request = Screen(), asked("imagine", prompt="a dog in Paris")
    poster = InPlacePoster("test", screen.show, retry_for_s=1.0)
    follower = Follower(app, poster, NullPostStore())
    accepted = await follower.show_all(app.answer(request), poster.post(request.id))
    assert accepted
    following = asyncio.create_task(follower.follow_to_end(accepted))
    await screen.until("Waiting")
    queue.close()
    with pytest.raises(RedisError):
        await following
    assert "Nothing is lost" in screen.shown[-1].text


async def test_a_job_is_followed_on_after_a_surprise(app: Darkroom, monkeypatch: pytest.MonkeyPatch) -> None:
    class FaultyScreen(Screen):
        faults = 0

        async def show(self, message: str, reply: Reply) -> None:
            if self.faults < 2 and reply.state == "done":
                self.faults += 1
                raise KeyError("an answer of a shape that nobody has thought of")
            await super().show(message, reply)

    monkeypatch.setattr(follower_module, "AGAIN_S", (0.05, 0.05, 0.05))
    screen, request = FaultyScreen(), asked("imagine", prompt="a dog in Paris")
    poster = InPlacePoster("test", screen.show)
    follower = Follower(app, poster, NullPostStore())
    await follower.answer(request, poster.post(request.id))
    job = await app.dispatch.job(request.id)
    assert isinstance(job, ImagineJob)
    await Hand(app).draw(job)
    async with asyncio.timeout(60):
        while not follower.at_rest:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    assert screen.faults == 2 and screen.shown[-1].state == "done"
    await follower.close()

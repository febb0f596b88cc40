"""What the Slack tests share: a bot in this process or in one of its own, and jobs that end as a test wants."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bot.app import Darkroom
from bot.connectors.slack import connector
from bot.connectors.slack.poster import SlackPoster
from storage.kinds.imagine import ImagineJob
from storage.kinds.train import TrainJob
from storage.settings.bot import BotSettings
from tests.conftest import photos_of_a_character
from tests.servers.backing import valkey
from tests.servers.slack import Slack, SlackServer
from tests.servers.slack.payloads import escaped
from tests.servers.slack.people import images
from tests.servers.slack.workspace import APP_TOKEN, BOT_TOKEN, SIGNING_SECRET, TEAM, Channel, Message
from tests.support.bot_process import NO_LIMITS, READY_S, BotProcess, bot_process, settings_of
from tests.support.manual_worker import Hand

SPACE = f"slack:{TEAM}"
EDIT_EVERY_S = 0.2  # tests cannot wait for a person's pace


@dataclass
class Scene:
    """A workspace, a deployment without workers, and the environment of a bot that serves one with the other."""

    slack: Slack
    app: Darkroom
    environment: dict[str, str]
    redis_url: str

    @property
    def hand(self) -> Hand:
        """Does the worker's part."""
        return Hand(self.app)

    @property
    def server(self) -> SlackServer:
        """The workspace's server."""
        return self.slack.server

    @property
    def settings(self) -> BotSettings:
        """The settings of the bot."""
        return settings_of(self.environment)

    async def job(self, count: int = 1) -> TrainJob | ImagineJob:
        """Wait until so many jobs are accepted; return the newest."""
        async with asyncio.timeout(120):
            while len(jobs := await self.hand.jobs(SPACE)) < count:  # noqa: ASYNC110 (another process may accept it)
                await asyncio.sleep(0.05)
        assert len(jobs) == count
        return jobs[0]

    async def imagined(self, text: str = "a dog in Paris", **where: Any) -> Message:
        """Ask for pictures, draw them, and wait for the message to show them."""
        before = len(await self.hand.jobs(SPACE))
        await self.slack.slash("/imagine", text, **where)
        job = await self.job(before + 1)
        assert isinstance(job, ImagineJob)
        await self.hand.draw(job)
        prompt = escaped(job.prompt)
        return await self.slack.message(lambda m: prompt in m.text and bool(images(m)), channel=where.get("channel"))

    async def trained(self, name: str = "rex", **where: Any) -> Message:
        """Train a subject from photos, and wait for the announcement of its end."""
        before = len(await self.hand.jobs(SPACE))
        photos = self.slack.photos(photos_of_a_character())
        await self.slack.mention(f"train {name} dog", files=photos, **where)
        job = await self.job(before + 1)
        assert isinstance(job, TrainJob)
        await self.hand.train(job)
        return await self.slack.message(lambda m: f"{name} is ready" in m.text and "<@" in m.text)

    @asynccontextmanager
    async def bot(self) -> AsyncIterator[str]:
        """Run the bot in this process while the block runs; gives what it says when it is ready."""
        said: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        serving = asyncio.create_task(
            connector.serve(self.settings, self.redis_url, lambda text: said.done() or said.set_result(text))
        )
        try:
            await asyncio.wait({serving, said}, timeout=READY_S, return_when=asyncio.FIRST_COMPLETED)
            if serving.done():
                await serving
            yield said.result()
        finally:
            serving.cancel()
            with suppress(asyncio.CancelledError):
                await serving

    def process(self, without: str = "", ready: bool = True) -> AbstractAsyncContextManager[BotProcess]:
        """Run `darkroom slack`, `without` one setting, while a block runs."""
        environment = {name: value for name, value in self.environment.items() if name != without}
        return bot_process("slack", environment, self.app, ready)


@pytest.fixture(scope="session")
def slack_queue() -> Iterator[str]:
    """A queue of the Slack tests' own: no worker takes their jobs but where a test wants one."""
    with valkey() as url:
        yield url


@pytest.fixture
async def workspace() -> AsyncIterator[Slack]:
    """A Slack workspace; a test that broke one of Slack's rules fails."""
    async with SlackServer() as server:
        slack = Slack(server)
        yield slack
    assert not slack.workspace.violations


def environment(server: SlackServer, stack_environment: dict[str, str]) -> dict[str, str]:
    """What the bot's process needs to know."""
    return {
        **NO_LIMITS,
        **stack_environment,
        "SLACK_BOT_TOKEN": BOT_TOKEN,
        "SLACK_APP_TOKEN": APP_TOKEN,
        "SLACK_SIGNING_SECRET": SIGNING_SECRET,
        "SLACK_API_URL": server.api_url,
        "DARKROOM_SLACK_PORT": "0",
    }


@pytest.fixture
async def scene(
    workspace: Slack, slack_queue: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Scene]:
    """A workspace and a deployment whose jobs end as the test says, told of at a test's pace."""
    monkeypatch.setattr(SlackPoster, "edit_every_s", EDIT_EVERY_S)
    monkeypatch.setattr(SlackPoster, "channel_rate", (20, 1.0))
    monkeypatch.setattr(connector, "PING_S", 1.0)
    about = {"DARKROOM_HOME": str(tmp_path), "REDIS_URL": slack_queue, "DARKROOM_PHOTO_MIN_PX": "64"}
    given = environment(workspace.server, about)
    app = await Darkroom.open(settings_of(given), slack_queue)
    yield Scene(workspace, app, given, slack_queue)
    await app.redis.flushdb()
    await app.close()


async def drawn_in(scene: Scene, channel: Channel, space: str, text: str = "a secret dog") -> ImagineJob:
    """Ask for pictures in a channel; return the job, which has to be of `space`."""
    await scene.slack.slash("/imagine", text, channel=channel)
    job = await scene.hand.job(space)
    assert isinstance(job, ImagineJob)
    return job

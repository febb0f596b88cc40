"""The real bot, as `darkroom discord` runs it, on the local Discord: in this process, or as one to be killed."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from discord import Client

from bot.app import Darkroom
from bot.connectors.discord import connector
from bot.connectors.discord.poster import DiscordPoster
from storage.kinds.imagine import ImagineJob
from storage.kinds.train import TrainJob
from tests.servers.backing import valkey
from tests.servers.discord import Discord, File, discord_server
from tests.servers.discord.rest import BOT_USER
from tests.servers.discord.world import GUILD, Interaction, Message
from tests.support.bot_process import NO_LIMITS, BotProcess, bot_process, settings_of
from tests.support.manual_worker import Hand
from tests.support.photo_files import saved, scene

SPACE = f"discord:{GUILD}"
EDITS = r"PATCH /(webhooks|channels)/"
UPLOADS = r"(PATCH|POST) /(webhooks|channels)/"  # routes
EDIT_EVERY_S, IDENTIFY_EVERY_S = 0.1, 0.1  # tests cannot wait for a person's pace, nor for Discord's


@dataclass
class Place:
    """Queue, store and Discord of one test, and what starts bots there."""

    discord: Discord
    app: Darkroom
    environment: dict[str, str]

    @property
    def hand(self) -> Hand:
        """Does the worker's part."""
        return Hand(self.app)

    @asynccontextmanager
    async def bot(self) -> AsyncIterator[asyncio.Task[None]]:
        """Run a bot in this process."""
        said: list[str] = []
        settings = settings_of(self.environment)
        task = asyncio.create_task(connector.serve(settings, self.environment["REDIS_URL"], said.append))
        try:
            while not said:
                await asyncio.sleep(0.01)
                if task.done():
                    task.result()
            yield task
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    def process(self, ready: bool = True) -> AbstractAsyncContextManager[BotProcess]:
        """Run `darkroom discord` while a block runs."""
        return bot_process("discord", self.environment, self.app, ready)

    def open_posts(self) -> list[str]:
        """The posts that wait for more."""
        return open_posts(self.app)


def open_posts(app: Darkroom) -> list[str]:
    """The posts that wait for more, as files of the store."""
    folder = app.settings.home / "store" / "posts"
    # Unlike rglob, walk does not mind folders that go meanwhile.
    return [name for _, _, names in os.walk(folder) for name in names if name.endswith(".json")]


def bot_environment(discord: Discord, deployment: dict[str, str]) -> dict[str, str]:
    """What a bot's process needs to know."""
    return {**NO_LIMITS, **deployment, "DISCORD_TOKEN": discord.token, "DISCORD_API_URL": discord.api_url}


def photos(count: int = 3, first: int = 0) -> list[File]:
    """Photos that can be trained on, all different."""
    return [File(f"rex-{k}.png", saved(scene(seed=k)), "image/png") for k in range(first, first + count)]


def options(files: list[File]) -> dict[str, File]:
    """Files as the options photo1, photo2, … of a command."""
    return {f"photo{k}": file for k, file in enumerate(files, 1)}


async def imagined(discord: Discord, hand: Hand, prompt: str = "a dog in Paris", **more: object) -> Interaction:
    """Ask for pictures, draw them, and wait until they are shown."""
    before = len(await hand.jobs(SPACE))
    asked = await discord.slash("imagine", prompt=prompt, **more)
    job = await hand.job(SPACE, before + 1)
    assert isinstance(job, ImagineJob)
    await hand.draw(job)
    await discord.until(lambda: "Again" in asked.message.labels)
    return asked


async def trained(discord: Discord, hand: Hand, photos: dict[str, File], name: str = "rex") -> Message:
    """Train a subject; return the announcement of its end."""
    await discord.slash("dreambooth train", name=name, class_="dog", **photos)
    job = await hand.job(SPACE)
    assert isinstance(job, TrainJob)
    await hand.train(job)
    (said,) = await discord.until(lambda: [m for m in discord.visible(discord.general) if m.pings])
    return said


async def drawing(discord: Discord, hand: Hand) -> tuple[ImagineJob, Interaction]:
    """A drawing that waits for a worker, and says so."""
    before = len(await hand.jobs(SPACE))
    asked = await discord.slash("imagine", prompt="a dog in Paris")
    job = await hand.job(SPACE, before + 1)
    assert isinstance(job, ImagineJob)
    await discord.until(lambda: "no worker" in asked.message.text)
    return job, asked


async def training(discord: Discord, hand: Hand) -> tuple[TrainJob, Interaction]:
    """A training that began, and says so."""
    asked = await discord.slash("dreambooth train", name="rex", class_="dog", **options(photos()))
    job = await hand.job(SPACE)
    assert isinstance(job, TrainJob)
    await hand.progress(job.id, "learning", 10, 400)
    await discord.until(lambda: "10 of 400" in asked.message.text)
    return job, asked


def announcements(discord: Discord) -> list[Message]:
    """The messages in the channel that ring somebody."""
    return [m for m in discord.visible(discord.general) if m.pings]


def an_old_message(discord: Discord, button: str) -> Message:
    """A message of ours with one button, by its id."""
    old = discord.add(Message(discord.general, BOT_USER, content="old"))
    old.components = [{"type": 1, "components": [{"type": 2, "style": 1, "label": "Go", "custom_id": button}]}]
    return old


@pytest.fixture(scope="session")
def redis_of_bots() -> Iterator[str]:
    with valkey(config="save ''") as url:
        yield url


@pytest.fixture
async def place(redis_of_bots: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Place]:
    """A Discord with queue and store of this test's own, and no bot yet."""
    monkeypatch.setattr(DiscordPoster, "edit_every_s", EDIT_EVERY_S)
    monkeypatch.setattr(DiscordPoster, "channel_rate", (20, 1.0))
    monkeypatch.setattr(Client, "before_identify_hook", lambda *_, **__: asyncio.sleep(IDENTIFY_EVERY_S))
    about = {"DARKROOM_HOME": str(tmp_path), "REDIS_URL": redis_of_bots, "DARKROOM_PHOTO_MIN_PX": "64"}
    async with discord_server() as discord:
        environment = bot_environment(discord, about)
        app = await Darkroom.open(settings_of(environment), redis_of_bots)
        await app.redis.flushdb()
        try:
            yield Place(discord, app, environment)
        finally:
            await app.close()


@pytest.fixture
async def discord(place: Place) -> AsyncIterator[Discord]:
    """The same with a bot in this process."""
    async with place.bot():
        yield place.discord


@pytest.fixture
def hand(place: Place) -> Hand:
    return place.hand


async def imagine_data(discord: Discord, prompt: str = "a dog in Paris") -> dict[str, object]:
    """What a client sends for /imagine, unchecked."""
    command = next(c for c in discord.commands if c["name"] == "imagine")
    given = [{"name": "prompt", "type": 3, "value": prompt}]
    return {"id": command["id"], "name": "imagine", "type": 1, "options": given}

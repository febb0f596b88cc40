"""Measure the Discord bot's process against the local Discord of the tests: `python -m tests.bench.discord`.

Prints JSON: how soon commands are acknowledged, how much memory it takes, how soon it is ready, how often it edits.
"""

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import psutil

from bot.app import Darkroom
from storage.kinds.imagine import ImagineJob
from tests.bench.chats import (
    COMMANDS,
    INTERACTIONS,
    PER_S,
    Figures,
    acknowledged,
    edited,
    measure,
    megabytes,
    starting,
)
from tests.servers.backing import APPEND_ONLY, valkey
from tests.servers.discord import discord_server
from tests.servers.discord.world import Interaction
from tests.support.bot_process import settings_of
from tests.support.discord_bot import SPACE, Place, bot_environment, options, photos

AT_ONCE = 20

Deed = Callable[[], Coroutine[Any, Any, Interaction]]


@asynccontextmanager
async def place() -> AsyncIterator[Place]:
    """A Discord and a deployment without workers."""
    with tempfile.TemporaryDirectory() as home, valkey(config=APPEND_ONLY) as url:
        async with discord_server() as discord:
            environment = bot_environment(discord, {"DARKROOM_HOME": home, "REDIS_URL": url})
            environment["DARKROOM_PHOTO_MIN_PX"] = "64"
            app = await Darkroom.open(settings_of(environment), url)
            yield Place(discord, app, environment)
            await app.close()


def deeds(here: Place) -> list[Deed]:
    """What people do, in equal parts."""
    discord, files = here.discord, options(photos())
    return [
        lambda: discord.slash("imagine", prompt="a dog in Paris"),
        lambda: discord.slash("dreambooth list"),
        lambda: discord.slash("dreambooth train"),
        lambda: discord.slash("dreambooth train", name=f"rex{time.monotonic_ns()}", class_="dog", **files),
    ]


async def acknowledging() -> Figures:
    """How long people wait for the first sign, while twenty commands come in each second."""
    async with place() as here, here.process():
        asked = []
        for k in range(COMMANDS):
            asked.append(asyncio.create_task(deeds(here)[k % 4]()))
            await asyncio.sleep(1 / PER_S)
        took_s = [interaction.took_s for interaction in await asyncio.gather(*asked)]
    return acknowledged(took_s)


async def remembering() -> Figures:
    """Memory of the process when it is idle, and after many interactions, some of which draw pictures."""
    figures = {}
    async with place() as here, here.process() as bot:
        process = psutil.Process(bot.process.pid)
        figures["memory, idle (MB)"] = megabytes(process)
        drawings = []
        for done in range(AT_ONCE, INTERACTIONS + 1, AT_ONCE):
            await asyncio.gather(*(chat(here, kind) for kind in range(AT_ONCE - 1)))
            drawings.append(asyncio.create_task(draw(here, f"a dog in Paris, {done}")))
            if done in (INTERACTIONS // 10, INTERACTIONS // 2, INTERACTIONS):
                await asyncio.gather(*drawings)
                figures[f"memory, after {done:,} interactions (MB)"] = megabytes(process)
    return figures


async def chat(here: Place, kind: int) -> None:
    """One of many interactions: a completion, an answer in private, a form."""
    if kind % 3 == 0:
        await here.discord.complete("imagine", "subject", "re")
    elif kind % 3 == 1:
        asked = await here.discord.slash("darkroom help")
        await here.discord.until(lambda: asked.message.text)
    else:
        await here.discord.slash("dreambooth train")


async def draw(here: Place, prompt: str) -> None:
    """Ask for pictures, draw them, wait until they are shown."""
    asked = await here.discord.slash("imagine", prompt=prompt)
    await here.discord.until(lambda: "Cancel" in asked.message.labels)
    cancel = asked.message.controls[0]["custom_id"]
    job = await here.app.dispatch.job(cancel.rpartition("=")[2])
    assert isinstance(job, ImagineJob)
    await here.hand.draw(job)
    await here.discord.until(lambda: "Again" in asked.message.labels, within_s=60)


async def editing() -> Figures:
    """How often the message of a training that has news all the time is edited."""
    async with place() as here, here.process():
        asked = await here.discord.slash("dreambooth train", name="rex", class_="dog", **options(photos()))
        job = await here.hand.job(SPACE)
        await here.discord.until(lambda: "no worker" in asked.message.text)
        return await edited(here.hand, job.id, lambda: asked.message.edits)


if __name__ == "__main__":
    asyncio.run(measure(lambda: starting(place), acknowledging, remembering, editing))

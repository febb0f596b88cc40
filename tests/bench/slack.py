"""Measure the Slack bot's process against the local Slack of the tests: `python -m tests.bench.slack`.

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
from tests.conftest import photos_of_a_character
from tests.servers.backing import APPEND_ONLY, valkey
from tests.servers.slack import Slack, SlackServer
from tests.servers.slack.people import ADA, images
from tests.servers.slack.server import until
from tests.support.bot_process import settings_of
from tests.support.slack_bot import Scene, environment

AT_ONCE = 100
DRAWN_EVERY = 500  # interactions: a workspace takes fifty edits a minute

Deed = Callable[[], Coroutine[Any, Any, Any]]


@asynccontextmanager
async def scene() -> AsyncIterator[Scene]:
    """A workspace and a deployment without workers."""
    with tempfile.TemporaryDirectory() as home, valkey(config=APPEND_ONLY) as url:
        async with SlackServer() as server:
            about = {"DARKROOM_HOME": home, "REDIS_URL": url, "DARKROOM_PHOTO_MIN_PX": "64"}
            given = environment(server, about)
            app = await Darkroom.open(settings_of(given), url)
            yield Scene(Slack(server), app, given, url)
            await app.close()


def deeds(here: Scene) -> list[Deed]:
    """What people do, in equal parts."""
    slack = here.slack
    photos = slack.photos(photos_of_a_character())
    return [
        lambda: slack.slash("/imagine", "a dog in Paris"),
        lambda: slack.slash("/dreambooth", "list"),
        lambda: slack.slash("/dreambooth", "train rex dog"),
        lambda: slack.mention(f"train rex{time.monotonic_ns()} dog", files=photos),
    ]


async def acknowledging() -> Figures:
    """How long Slack waits for an acknowledgement, while twenty commands come in each second."""
    async with scene() as here, here.process():
        kinds = deeds(here)
        async with asyncio.TaskGroup() as asking:
            for k in range(COMMANDS):
                asking.create_task(kinds[k % len(kinds)]())
                await asyncio.sleep(1 / PER_S)
        took_s = [d.ack_s for d in here.slack.workspace.deliveries if d.ack_s is not None]
    return acknowledged(took_s)


async def remembering() -> Figures:
    """Memory of the process when it is idle, and after many interactions, some of which draw pictures."""
    figures = {}
    async with scene() as here, here.process() as bot:
        process = psutil.Process(bot.process.pid)
        figures["memory, idle (MB)"] = megabytes(process)
        drawings = []
        for done in range(AT_ONCE, INTERACTIONS + 1, AT_ONCE):
            await asyncio.gather(*(chat(here, kind) for kind in range(AT_ONCE)))
            if done % DRAWN_EVERY == 0:
                drawings.append(asyncio.create_task(draw(here, f"a dog in Paris, {done}")))
            if done in (INTERACTIONS // 10, INTERACTIONS // 2, INTERACTIONS):
                await asyncio.gather(*drawings)
                figures[f"memory, after {done:,} interactions (MB)"] = megabytes(process)
            here.slack.workspace.views.clear()
            here.slack.general.messages.clear()
    return figures


async def chat(here: Scene, kind: int) -> None:
    """One of many interactions: help in private, a form, words that are not understood."""
    command, text = (("/darkroom", "help"), ("/imagine", ""), ("/dreambooth", "dance"))[kind % 3]
    before = here.server.count("views.open") + len(here.slack.seen(user=ADA))
    await here.slack.slash(command, text)
    await until(lambda: here.server.count("views.open") + len(here.slack.seen(user=ADA)) > before)


async def draw(here: Scene, prompt: str) -> None:
    """Ask for pictures, draw them, wait until they are shown; each in a channel of its own, for a channel is slow."""
    channel = here.slack.workspace.add_channel("drawings")
    await here.slack.slash("/imagine", prompt, channel=channel)
    (message,) = await until(lambda: [m for m in here.slack.seen(channel) if "no worker" in m.text], within_s=120)
    cancel = message.blocks[-1]["elements"][0]["value"]
    job = await here.app.dispatch.job(cancel.rpartition("=")[2])
    assert isinstance(job, ImagineJob)
    await here.hand.draw(job)
    await until(lambda: images(message), within_s=120)


async def editing() -> Figures:
    """How often the message of a training that has news all the time is edited."""
    async with scene() as here, here.process():
        await here.slack.mention("train rex dog", files=here.slack.photos(photos_of_a_character()))
        job, message = await here.job(), await here.slack.message("no worker is running")
        return await edited(here.hand, job.id, lambda: len(message.versions))


if __name__ == "__main__":
    asyncio.run(measure(lambda: starting(scene), acknowledging, remembering, editing))

"""What tests of records that another version wrote share: such records, and a bot that reads them."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

from arq.connections import ArqRedis

from bot.app import Darkroom
from bot.core.messages import Reply, Request
from storage.kinds.imagine import ImagineJob
from storage.objects.folder import FolderStore
from storage.settings.bot import BotSettings

IMAGINE = ImagineJob(space="home", owner="ada", said="/imagine a dog", prompt="a dog", model_prompt="a dog", seed=1)


HASH = "ab" * 32


@asynccontextmanager
async def lone_bot(home: Path, redis: ArqRedis) -> AsyncIterator[Darkroom]:
    """A bot of this version, without a worker, whose upkeep does not run."""
    darkroom = Darkroom(BotSettings(DARKROOM_HOME=home), FolderStore(home / "store"), redis)
    for task in darkroom._upkeep:
        task.cancel()
    yield darkroom
    await asyncio.gather(*darkroom._upkeep, return_exceptions=True)


def written(record: Any, **fields: object) -> bytes:
    """A record as another version writes it: with other fields, and without those that are None here."""
    changed = {**json.loads(record.model_dump_json()), **fields}
    return json.dumps({name: value for name, value in changed.items() if value is not None}).encode()


async def last(app: Darkroom, command: str, **arguments: str) -> Reply:
    """The last reply to a command."""
    request = Request(space="home", user="ada", command=command, arguments=arguments, confirmed=True)
    return [reply async for reply in app.answer(request)][-1]


async def first_news(app: Darkroom, job: str) -> Reply:
    """The first reply about a job."""
    async with aclosing(app.watch(job)) as replies:
        return await anext(aiter(replies))

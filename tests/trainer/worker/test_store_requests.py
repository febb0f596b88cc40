"""How many requests to the store a drawing takes, of bot and worker together; on S3 each costs money and time."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest

from bot.app import Darkroom
from bot.core.messages import Reply, Request
from storage.lifecycle.reconcile import LOOKED_KEY
from storage.objects.folder import FolderStore
from storage.queue import broker
from storage.queue.worker_registry import living_workers
from storage.settings.bot import BotSettings
from storage.settings.trainer import TrainerSettings
from tests.servers.backing import valkey
from trainer.kinds import handlers_of
from trainer.worker.store_health import NOTHING
from trainer.worker.worker import run_worker

MOST = 30
T = TypeVar("T")
pytestmark = [pytest.mark.exhaustive, pytest.mark.timeout(300)]  # an engine of its own, for a figure


class Noting(FolderStore):
    """A folder that notes what is asked of it, but for what depends on the time that it takes."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.asked: list[str] = []
        self.at_once, self.most_at_once = 0, 0

    async def _run(self, function: Callable[..., T], key: str, *arguments: object) -> T:
        if key not in (NOTHING, "open/", "forgetting/"):
            self.asked.append(f"{function.__name__} {key}")
        is_picture = key.endswith(".png")
        self.at_once += is_picture
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            return await super()._run(function, key, *arguments)
        finally:
            self.at_once -= is_picture


async def test_four_pictures_take_few_requests_and_are_stored_at_once(tmp_path: Path, micro_model: Path) -> None:
    with valkey() as url:
        settings = {"DARKROOM_HOME": str(tmp_path), "DARKROOM_BASE_MODEL": str(micro_model), "DARKROOM_LEASE_S": 60}
        store, redis = Noting(tmp_path / "store"), await broker.connect(url)
        app = Darkroom(BotSettings(**settings), store, await broker.connect(url))
        worker = asyncio.create_task(
            run_worker(TrainerSettings(**settings), store, redis, ["imagine"], handlers_of(["imagine"]))
        )
        try:
            async with asyncio.timeout(120):
                while not await living_workers(redis, "imagine"):
                    assert not worker.done(), worker
                    await asyncio.sleep(0.1)
            await drawn(app)  # what is done once for all is not counted
            await redis.set(LOOKED_KEY, b"1", ex=3600)
            store.asked.clear()
            reply = await drawn(app)
            assert len(reply.pictures) == 4
            assert len(store.asked) <= MOST, store.asked
            assert store.most_at_once > 1, "pictures are stored in parallel"
        finally:
            worker.cancel()
            await asyncio.gather(worker, return_exceptions=True)
            await app.close()
            await redis.aclose()


async def drawn(app: Darkroom) -> Reply:
    """Draw four pictures, and wait until what follows from that is done."""
    request = Request(space="local", user="you", command="imagine", arguments={"prompt": "a dog", "steps": "4"})
    async for last in app.answer_to_end(request):  # noqa: B007 (only the last counts)
        pass
    assert last.state == "done", last.text
    async with asyncio.timeout(120):
        while await app.store.names("open/"):  # noqa: ASYNC110 (a store tells nobody)
            await asyncio.sleep(0.5)
    return last

"""What happens often costs as many requests to the store with hundreds of finished jobs as with twenty."""

import asyncio
from pathlib import Path

from bot.app import Darkroom
from bot.connectors.web.gallery import Gallery
from bot.connectors.web.handlers import JOBS_AT_ONCE
from bot.core.local_space import USER
from bot.core.messages import Request
from storage.contract.subjects import Subject
from storage.ids import new_id
from storage.lifecycle.garbage_collection import GarbageCollector
from storage.lifecycle.reconcile import put_back
from storage.queue import broker
from storage.settings.bot import BotSettings
from tests.bench.history_store import MINE, CountedFolder, drawing, fill, finish
from tests.servers.backing import valkey
from tests.support.manual_worker import Hand

SIZES = (20, 400)
MOST_AN_IDLE_MINUTE, MOST_A_DRAWING = 20, 30


class Costs:
    """What was done, and how many requests that took."""

    def __init__(self, app: Darkroom, store: CountedFolder) -> None:
        self.app, self.store = app, store
        self.of: dict[str, int] = {}

    async def ask(self, command: str, **arguments: str) -> None:
        """Give a command as I do, and count its requests."""
        before = self.store.requests
        request = Request(space=MINE, user=USER, command=command, arguments=arguments, confirmed=True)
        async for reply in self.app.answer_to_end(request):
            assert not reply.fault, reply.text
            if command == "imagine" and reply.state == "working" and self.of.setdefault("drawn", 0) == 0:
                self.of["drawn"] = 1
                job = await self.app.dispatch.job(request.id)
                await Hand(self.app).draw(job)  # type: ignore[arg-type]
        self.of[command] = self.store.requests - before

    async def all(self) -> dict[str, int]:
        """Everything that happens often."""
        tom = Subject(space=MINE, owner=USER, name="tom", noun="dog", base_model="m", state="ready")
        await self.app.subjects.add(tom)
        for _ in range(3):
            await finish(self.store.put, drawing(new_id(), MINE, tom.id))
        await self.ask("jobs")
        await self.ask("imagine", prompt="a dog in Paris", count="4")
        await self.ask("dreambooth forget", name="tom")
        before = self.store.requests
        await asyncio.gather(self.app.suggestions.in_space(MINE), self.app.suggestions.open_jobs(MINE))
        self.of["completion"] = self.store.requests - before
        before = self.store.requests
        await Gallery(self.app).pictures("", JOBS_AT_ONCE + 1)
        self.of["gallery"] = self.store.requests - before
        before = self.store.requests
        await put_back(self.store, self.app.redis, self.app.dispatch.index)
        await GarbageCollector(self.store).sweep_recent()
        self.of["upkeep"] = self.store.requests - before
        return self.of


async def test_requests_do_not_grow_with_history(tmp_path: Path) -> None:
    store, costs, done = CountedFolder(tmp_path / "store"), [], 0
    with valkey() as url:
        for size in SIZES:
            await fill(store, done, size)
            app = Darkroom(BotSettings(DARKROOM_HOME=str(tmp_path)), store, await broker.connect(url))
            costs.append(await Costs(app, store).all())
            await app.close()
            done = size
    few, many = costs
    assert {what: (few[what], many[what]) for what in few if abs(few[what] - many[what]) > 0.1 * few[what] + 2} == {}
    assert many["upkeep"] <= MOST_AN_IDLE_MINUTE and many["imagine"] <= MOST_A_DRAWING

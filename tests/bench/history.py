"""Measure what a long history costs: `python -m tests.bench.history [--sizes 20,2000,20000] [--stores folder,s3]`.

With so many finished jobs in the store, of which twenty are mine: requests to the store and time of an idle minute (one
bot, three workers: their loops, with no engine), of commands, of four pictures and of a training by a real worker with
the micro model. The S3 server is SeaweedFS if `weed` is in the path, else moto. Prints a table, and JSON.
"""

import argparse
import asyncio
import json
import os
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from bot.app import Darkroom
from bot.connectors.web.gallery import Gallery
from bot.connectors.web.handlers import JOBS_AT_ONCE
from bot.core.local_space import USER
from bot.core.messages import Reply, Request
from bot.photos.uploads import Upload
from storage.contract.subjects import Subject
from storage.ids import new_id
from storage.lifecycle.garbage_collection import GarbageCollector
from storage.lifecycle.reconcile import LOOKED_KEY, SWEPT_KEY, keep_queued
from storage.queue import broker
from storage.settings.bot import BotSettings
from storage.settings.shared import load_settings
from storage.settings.trainer import TrainerSettings
from tests.bench.history_store import MINE, Counted, CountedFolder, counted_s3, drawing, fill, finish, s3_server
from tests.conftest import photos_of_a_character
from tests.servers.backing import APPEND_ONLY, valkey
from tests.support.micro_models import write_micro_model
from trainer.kinds import handlers_of
from trainer.worker.cache import Cache
from trainer.worker.store_health import StoreHealth
from trainer.worker.worker import run_worker

IDLE_S, WORKERS = 60.0, 3
Row = dict[str, tuple[int, float]]  # by what was done: requests, seconds


class Deployment:
    """One bot and a store that counts."""

    def __init__(self, settings: BotSettings, store: Counted, redis: Any, home: Path) -> None:
        self.settings, self.store, self.redis, self.home = settings, store, redis, home
        self.row: Row = {}

    async def measured(self, what: str, work: Callable[[], Awaitable[Any]]) -> Any:
        """Do something, and note what it cost. Nobody looks for lost jobs meanwhile."""
        await self.redis.set(LOOKED_KEY, b"1", ex=3600)
        before, began_s = self.store.requests, time.monotonic()
        done = await work()
        self.row[what] = self.store.requests - before, round(time.monotonic() - began_s, 3)
        return done

    @asynccontextmanager
    async def bot(self) -> AsyncIterator[Darkroom]:
        """A bot of the deployment."""
        app = Darkroom(self.settings, self.store, await broker.connect(str(self.settings.redis_url)))
        try:
            yield app
        finally:
            await app.close()


async def ask(app: Darkroom, command: str, uploads: tuple[Upload, ...] = (), **given: str) -> Reply:
    """Give a command as I do; it has to succeed."""
    last = Reply(text="nothing")
    arguments = {name.rstrip("_"): value for name, value in given.items()}
    request = Request(space=MINE, user=USER, command=command, arguments=arguments, uploads=uploads, confirmed=True)
    async for last in app.answer_to_end(request):  # noqa: B007 (only the last counts)
        pass
    assert last.state == "done", last.text
    return last


async def measure_size(here: Deployment, size: int) -> Row:
    """Measure everything once, with the history as long as it is."""
    here.row = {}
    async with here.bot() as app:
        await measure_idle(here)
        await here.measured("/jobs", lambda: ask(app, "jobs"))
        await here.measured("gallery, first page", lambda: Gallery(app).pictures("", JOBS_AT_ONCE + 1))
        await here.measured("completion, jobs and subjects", lambda: complete(app))
        tom = Subject(space=MINE, owner=USER, name=f"tom-{size}", noun="dog", base_model="m", state="ready")
        await app.subjects.add(tom)
        for _ in range(5):
            await finish(here.store.put, drawing(new_id(), MINE, tom.id))
        await here.measured("forget a subject of five jobs", lambda: ask(app, "dreambooth forget", name=tom.name))
        async with working(here):
            photos, name = photos_of_a_character(), f"rex-{size}"
            await ask(app, "dreambooth train", photos, name="warm", class_="dog")
            await here.measured("train", lambda: ask(app, "dreambooth train", photos, name=name, class_="dog"))
            await ask(app, "imagine", prompt=f"a [{name}] dog in Rome", count="4")
            draw = lambda: ask(app, "imagine", prompt=f"a [{name}] dog in Paris", count="4")  # noqa: E731
            await here.measured("imagine, four pictures", draw)
        for each in ("warm", name):
            await ask(app, "dreambooth forget", name=each)
    return here.row


async def complete(app: Darkroom) -> None:
    """What a chat looks up at a keystroke."""
    await asyncio.gather(app.suggestions.in_space(MINE), app.suggestions.open_jobs(MINE))


async def measure_idle(here: Deployment) -> None:
    """A minute of a bot, which is there, and three workers; once a day they look over everything, which is apart."""
    await here.redis.delete(LOOKED_KEY, SWEPT_KEY)
    before = here.store.requests
    await GarbageCollector(here.store).sweep()
    here.row["a look over everything, the first"] = here.store.requests - before, 0.0
    before = here.store.requests
    await GarbageCollector(here.store).sweep()
    here.row["a look over everything, daily"] = here.store.requests - before, 0.0
    await here.redis.set(SWEPT_KEY, b"1", ex=3600)
    lease_s, loops = here.settings.lease_s, []
    for number in range(WORKERS):
        reach = StoreHealth(here.store, here.redis, lease_s, lambda: False)
        cache = Cache(here.store, here.home / f"cache-{number}")
        loops += [reach.keep_looking(), cache.keep_clean(here.redis), keep_queued(here.store, here.redis, lease_s)]
    tasks = [asyncio.create_task(loop) for loop in loops]
    await asyncio.sleep(2 * lease_s)
    before = here.store.requests
    await asyncio.sleep(IDLE_S)
    here.row["an idle minute"] = here.store.requests - before, IDLE_S
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def working(here: Deployment) -> AsyncIterator[None]:
    """A worker with the micro model, in this process so that its requests count."""
    task = asyncio.create_task(
        run_worker(
            load_settings(TrainerSettings),
            here.store,
            here.redis,
            ["train", "imagine"],
            handlers_of(),
        )
    )
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def measure(kind: str, sizes: list[int]) -> dict[int, Row]:
    """Fill one store more and more, and measure at each size."""
    rows, done = {}, 0
    with tempfile.TemporaryDirectory() as folder, valkey(config=APPEND_ONLY) as url:
        home = Path(folder)
        os.environ |= {"DARKROOM_HOME": folder, "REDIS_URL": url, "DARKROOM_PHOTO_MIN_PX": "64"}
        os.environ |= {"DARKROOM_BASE_MODEL": str(write_micro_model(home / "model"))}
        with s3_server() if kind == "s3" else folder_server() as (server, where):
            store: Counted = CountedFolder(home / "store")
            if kind == "s3":
                store = counted_s3(where)
            here = Deployment(BotSettings(), store, await broker.connect(url), home)
            for size in sizes:
                began_s = time.monotonic()
                await fill(store, done, size)
                done = size
                print(f"{server}: {size} jobs after {time.monotonic() - began_s:.0f} s", flush=True)  # noqa: T201
                rows[size] = await measure_size(here, size)
                print(json.dumps(rows[size]), flush=True)  # noqa: T201
            await here.redis.aclose()
    return rows


@contextmanager
def folder_server() -> Iterator[tuple[str, str]]:
    """No server: the store is a folder."""
    yield "folder", ""


def table(rows: dict[int, Row]) -> str:
    """The figures as a table: requests, and milliseconds."""
    head = ["", *(f"{size:,} jobs" for size in rows)]
    lines = [head, ["---"] * len(head)]
    for what in next(iter(rows.values())):
        cells = [
            f"{row[what][0]}" + (f" ({1000 * row[what][1]:,.0f} ms)" if row[what][1] else "") for row in rows.values()
        ]
        lines.append([what, *cells])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.history")
    parser.add_argument("--sizes", default="20,2000,20000")
    parser.add_argument("--stores", default="folder,s3")
    given = parser.parse_args()
    sizes = [int(size) for size in given.sizes.split(",")]
    for kind in given.stores.split(","):
        print(f"{kind}:\n\n{table(asyncio.run(measure(kind, sizes)))}\n", flush=True)  # noqa: T201


if __name__ == "__main__":
    main()

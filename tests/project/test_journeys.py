"""How many of our modules a request enters, and passes through, from the event to its effect.

`pytest -m exhaustive -s tests/project/test_journeys.py` prints them. `docs/design.md` lists those to read;
`docs/benchmarks.md` has the figures. The limits are the most of several runs, whose callbacks meet in different orders:
a way that grows should be meant to.
"""

import asyncio
import sys
from pathlib import Path

import pytest

from bot.app import Darkroom
from bot.core.messages import Request
from storage.objects.folder import FolderStore
from storage.queue import broker
from storage.settings.bot import BotSettings
from storage.settings.trainer import TrainerSettings
from tests.conftest import photos_of_a_character
from tests.servers.backing import valkey
from tests.servers.discord import Discord
from tests.servers.slack.people import images
from tests.support.discord_bot import drawing, options, photos
from tests.support.manual_worker import Hand
from tests.support.module_trace import ModuleTrace, module_trace
from tests.support.slack_bot import Scene
from tests.trainer.dreambooth.test_divergence import task
from trainer.engine.engine import Engine
from trainer.kinds import handlers_of
from trainer.metrics.embedders import ToyworldEmbedder
from trainer.models.base import BaseModel
from trainer.worker.worker import run_worker

pytestmark = [pytest.mark.exhaustive, pytest.mark.timeout(300)]


def check(way: str, trace: ModuleTrace, most: int) -> None:
    passed = trace.passed_through
    lines = [f"{'  ' * (module not in trace.callers)}{module}" for module in trace.entered]
    head = f"{way}: {len(trace.entered)} entered, {len(passed)} passed through (those that are not are indented)"
    sys.stdout.write("\n  ".join([f"\n{head}", *lines]) + "\n")
    assert len(passed) <= most


async def test_photos_from_discord_to_the_stored_subject(discord: Discord, hand: Hand) -> None:
    with module_trace(until=("bot/core/dispatch.py", "accept")) as trace:
        await discord.slash("dreambooth train", name="rex", class_="dog", **options(photos(2)))
        await discord.until(lambda: trace.is_over, within_s=200)
    check("photos on Discord → stored subject", trace, 37)


async def test_a_prompt_from_slack_to_the_posted_picture(scene: Scene) -> None:
    async with scene.bot():
        with module_trace() as trace:
            await scene.slack.slash("/imagine", "a dog in Paris")
            job = await scene.job()
            await scene.hand.draw(job)
            await scene.slack.message(lambda m: bool(images(m)))
    check("prompt on Slack → posted picture", trace, 43)


async def test_a_cancel(discord: Discord, hand: Hand) -> None:
    _, asked = await drawing(discord, hand)
    with module_trace(until=("storage/queue/job_progress.py", "announce_change")) as trace:
        await discord.press(asked.message, "Cancel")
        await discord.until(lambda: trace.is_over, within_s=200)
    check("cancel on Discord → outcome, and the worker's nudge", trace, 31)


async def test_a_training_in_the_worker(tmp_path: Path, micro_model: Path) -> None:
    settings = {"DARKROOM_HOME": str(tmp_path), "DARKROOM_BASE_MODEL": str(micro_model), "DARKROOM_LEASE_S": 60}
    with valkey() as url:
        store, redis = FolderStore(tmp_path / "store"), await broker.connect(url)
        app = Darkroom(BotSettings(**settings, DARKROOM_PHOTO_MIN_PX=64), store, await broker.connect(url))
        arguments = {"name": "rex", "class": "dog", "steps": "4"}
        request = Request(space="local", user="you", command="dreambooth train", arguments=arguments)
        reply = await app.last_reply(request.model_copy(update={"uploads": photos_of_a_character()}))
        await app.close()
        assert reply.job, reply.text
        with module_trace(until=("storage/queue/job_progress.py", "announce_change")) as trace:
            worker = asyncio.create_task(
                run_worker(TrainerSettings(**settings), store, redis, ["train"], handlers_of(["train"]))
            )
            try:
                async with asyncio.timeout(200):
                    while not trace.is_over:
                        assert not worker.done(), worker
                        await asyncio.sleep(0.1)
            finally:
                worker.cancel()
                await asyncio.gather(worker, return_exceptions=True)
                await redis.aclose()
    check("training from Redis → outcome, in the worker", trace, 38)


async def test_a_training_in_the_engine(tmp_path: Path, base: BaseModel, photos: list[Path]) -> None:
    engine = Engine(base, lambda message: None, embedder=ToyworldEmbedder())
    engine.inbox.put(task(tmp_path, photos, report_card=True))
    with module_trace() as trace:
        asyncio.get_running_loop().call_soon(engine.run_until_idle)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    check("training in the engine", trace, 38)

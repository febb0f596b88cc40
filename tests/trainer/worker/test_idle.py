"""What a deployment asks of Redis while nobody asks anything of it; and that it is noticed all the same."""

import asyncio
from pathlib import Path

import pytest
from arq.connections import ArqRedis

from bot.app import Darkroom
from storage.contract.outcomes import Outcome
from storage.kinds import KINDS
from storage.kinds.ask import AskJob
from storage.objects.open import open_store
from storage.queue import broker
from storage.queue.worker_registry import Registration, living_workers, worker_statuses
from storage.settings.bot import BotSettings
from storage.settings.trainer import TrainerSettings
from tests.bench.idle import commands_per_s
from tests.servers.backing import valkey
from trainer.worker.handler import JobHandler
from trainer.worker.worker import run_worker

COUNTED_S, PER_S = 8.0, 5.0
pytestmark = pytest.mark.timeout(360)


class Answering(JobHandler[AskJob]):
    """Answers at once."""

    async def run(self) -> Outcome:
        return Outcome(job=self.job.id, state="done", message="42")


async def test_an_idle_bot_and_worker_send_few_commands(tmp_path: Path) -> None:
    """As `python -m tests.bench.idle` measures with an engine and for a minute."""
    with valkey() as url:
        settings = {"DARKROOM_HOME": str(tmp_path), "DARKROOM_LEASE_S": 1}
        app = await Darkroom.open(BotSettings(**settings), url)
        redis, store = await broker.connect(url), await open_store(BotSettings(**settings))
        handlers = {"ask": Answering}
        worker = asyncio.create_task(run_worker(TrainerSettings(**settings), store, redis, ["ask"], handlers))
        try:
            async with asyncio.timeout(60):
                while not await living_workers(redis, "ask"):  # noqa: ASYNC110
                    await asyncio.sleep(0.1)
                await asyncio.sleep(4)  # the reconciler's first look
                counted = await commands_per_s(url, COUNTED_S)
            assert sum(counted.values()) <= PER_S, counted
            assert [status.kinds for status in await worker_statuses(redis)] == [("ask",)]
            job = AskJob(space="local", owner="you", question="What is six times seven?")
            await app.dispatch.accept(job)
            async with asyncio.timeout(60):
                async for reply in app.watch(job.id):
                    last = reply
            assert last.state == "done"
        finally:
            worker.cancel()
            await asyncio.gather(worker, return_exceptions=True)
            await app.close()
            await redis.aclose()


async def test_a_worker_is_known_again_soon_after_redis_was_emptied(redis: ArqRedis) -> None:
    registration = Registration(redis, "one")
    await registration.renew([*KINDS], "")
    await redis.flushall()
    async with asyncio.timeout(60):
        while not await living_workers(redis, "train"):
            await asyncio.sleep(0.1)
            await registration.renew([*KINDS], "")


async def test_what_has_changed_is_said_at_once_and_the_rest_rarely(redis: ArqRedis) -> None:
    registration = Registration(redis, "one")
    await registration.renew(["ask"], "")
    await registration.renew(["ask"], "disk space")
    assert await living_workers(redis, "ask") == ["disk space"]
    await registration.renew(["ask", "train"], "")
    assert await living_workers(redis, "train") == await living_workers(redis, "ask") == [""]
    await redis.config_resetstat()
    for _ in range(100):
        await registration.renew(["ask", "train"], "")
    assert (await redis.info("commandstats")).get("cmdstat_set", {"calls": 0})["calls"] <= 2
    await registration.withdraw()
    assert not await living_workers(redis, "train") and not await living_workers(redis, "ask")

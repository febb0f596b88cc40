"""A kind of job that is added from outside runs from a command to its outcome, by a worker without torch or engine."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from pathlib import Path

import psutil
import pytest

from bot.app import Darkroom
from bot.commands.registry import COMMANDS
from bot.core.messages import Reply, Request
from bot.kinds import PRESENTERS
from storage.kinds import KINDS
from storage.kinds.imagine import ImagineJob
from storage.kinds.stored import stored_job
from storage.queue.worker_registry import living_workers
from storage.settings.bot import BotSettings
from storage.settings.shared import load_settings
from tests.conftest import Chat
from tests.servers.backing import valkey
from tests.support import echo_kind
from trainer.kinds import HANDLERS

WITHIN_S = 120
WORKER = "from tests.support import echo_kind; from trainer.__main__ import main; echo_kind.register(); main()"
ENGINE_S = {"torch", "diffusers", "transformers", "accelerate", "safetensors", "tokenizers", "huggingface_hub", "peft"}


@pytest.fixture(autouse=True)
def echo() -> Iterator[None]:
    """The kind `echo`, for as long as the test runs."""
    echo_kind.register()
    yield
    for registry in (KINDS, HANDLERS, PRESENTERS, COMMANDS):
        registry.pop("echo", None)  # type: ignore[attr-defined]


@pytest.fixture
async def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Darkroom]:
    """A bot with a queue and a store of its own."""
    with valkey() as url:
        monkeypatch.setenv("REDIS_URL", url)
        monkeypatch.setenv("DARKROOM_HOME", str(tmp_path))
        monkeypatch.setenv("DARKROOM_LEASE_S", "3")
        darkroom = await Darkroom.open(load_settings(BotSettings), url)
        yield darkroom
        await darkroom.close()


class Worker:
    """A process that serves echoes alone; its base model it could not load if it wanted to."""

    def __init__(self, log: Path) -> None:
        command = [sys.executable, "-X", "importtime", "-c", WORKER, "--queues", "echo"]
        environment = {**os.environ, "DARKROOM_BASE_MODEL": "/no/such/model"}
        self.log = log
        with log.open("wb") as output:
            self.process = subprocess.Popen(command, env=environment, stderr=output)

    async def stop(self, kill: bool = False) -> str:
        """End it; return its log."""
        if self.process.poll() is None:
            (self.process.kill if kill else self.process.terminate)()
        await asyncio.to_thread(self.process.wait, 60)
        return self.log.read_text()


@pytest.fixture
async def worker(app: Darkroom, tmp_path: Path) -> AsyncIterator[Worker]:
    process = Worker(tmp_path / "worker.log")
    yield process
    await process.stop(kill=True)


async def test_it_runs_from_a_command_to_its_outcome_without_torch_or_an_engine(
    app: Darkroom, chat: Chat, worker: Worker
) -> None:
    async with asyncio.timeout(WITHIN_S):
        *working, done = await chat("echo", text="hello", letter_s=0.4)
    assert (done.state, done.text) == ("done", "hello")
    shown = [reply.text.splitlines()[1] for reply in working if "Echoing" in reply.text]
    assert shown and all("hello".startswith(text) for text in shown), "what it has so far is shown meanwhile"
    assert psutil.Process(worker.process.pid).children(recursive=True) == []
    said = await worker.stop()
    imported = {line.rpartition("|")[2].strip() for line in said.splitlines() if line.startswith("import time:")}
    assert "trainer.worker.worker" in imported
    assert not imported & ENGINE_S, "which are not installed where there is no GPU"


async def test_a_picture_and_an_echo_do_not_wait_for_each_other(app: Darkroom, chat: Chat, worker: Worker) -> None:
    drawing = ImagineJob(space=chat.space, owner="you", prompt="a dog", model_prompt="a dog", seed=1)
    await app.dispatch.accept(drawing)  # for which there is no worker
    async with asyncio.timeout(WITHIN_S):
        assert (await chat("echo", text="hello"))[-1].state == "done"
        async with aclosing(app.watch(drawing.id)) as replies:
            assert "no worker is running" in (await anext(aiter(replies))).text
    assert await living_workers(app.redis, "imagine") == []


async def test_it_is_cancelled_while_it_runs_and_ends_once(app: Darkroom, chat: Chat, worker: Worker) -> None:
    request = Request(space=chat.space, user="you", command="echo", arguments={"text": "x" * 99, "letter_s": "9"})
    replies: list[Reply] = []
    async with asyncio.timeout(WITHIN_S):
        async for reply in app.answer_to_end(request):
            replies.append(reply)
            if "Echoing" in reply.text and reply.state == "working":
                assert (await chat("dreambooth cancel", job=request.id))[-1].state == "done"
    assert replies[-1].state == "cancelled"
    outcome = await app.dispatch.outcome(request.id)
    assert outcome and outcome.state == "cancelled"


async def test_another_worker_goes_on_where_one_was_killed(
    app: Darkroom, chat: Chat, worker: Worker, tmp_path: Path
) -> None:
    request = Request(space=chat.space, user="you", command="echo", arguments={"text": "abcd", "letter_s": "1"})
    other = None
    async with asyncio.timeout(WITHIN_S):
        async for reply in app.answer_to_end(request):
            if "Echoing" in reply.text and not other:
                await worker.stop(kill=True)
                other = Worker(tmp_path / "other.log")
    assert other and (reply.state, reply.text) == ("done", "abcd")
    await other.stop()


async def test_it_is_limited_and_fair_like_any(app: Darkroom, chat: Chat) -> None:
    most = KINDS["echo"].limits(app.settings).of_person
    jobs = [echo_kind.EchoJob(space=chat.space, owner="you", text=str(number)) for number in range(most)]
    for job in jobs:
        await app.accept(job)
    assert "requests waiting or running" in (await chat("echo", text="one more"))[-1].text
    assert (await app.dispatch.queues.view("echo")).waiting[0] == jobs[0].id
    assert await stored_job(app.store, jobs[0].id) == jobs[0]
    assert jobs[-1].id in (await chat("jobs"))[-1].facts


async def test_a_worker_that_does_not_know_the_kind_leaves_it(app: Darkroom, chat: Chat) -> None:
    job = echo_kind.EchoJob(space=chat.space, owner="you", text="hello")
    await app.accept(job)
    del KINDS["echo"]
    record = await stored_job(app.store, job.id)
    assert not record.is_understood and (record.kind, record.owner) == ("echo", "you")

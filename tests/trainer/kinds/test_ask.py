"""Questions run from a command to their answer through the real queue, by a worker process without torch or engine."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, aclosing
from pathlib import Path

import pytest

from bot.app import Darkroom
from bot.core.messages import Reply, Request
from storage.ask.documents import Documents
from storage.kinds.ask import ASK, AskJob
from storage.kinds.stored import read_stored_job
from storage.settings.bot import BotSettings
from storage.settings.shared import load_settings
from tests.conftest import Chat, stop_worker
from tests.servers.backing import valkey
from tests.servers.openai_model import ModelServer, model_server

WITHIN_S = 240
ROLE = "how do I share a subject with a role?"
TOWER = b"# Zorvia\n\nThe Zorvia tower is 312 metres tall. It was opened in 1987 by the mayor of Zorvia.\n"
TALL = "How tall is the Zorvia tower?"
pytestmark = pytest.mark.timeout(600)


@pytest.fixture
async def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Darkroom]:
    """A bot with a queue and a store of its own."""
    with valkey() as url:
        monkeypatch.setenv("REDIS_URL", url)
        monkeypatch.setenv("DARKROOM_HOME", str(tmp_path))
        monkeypatch.setenv("DARKROOM_LEASE_S", "5")
        darkroom = await Darkroom.open(load_settings(BotSettings), url)
        yield darkroom
        await darkroom.close()


@pytest.fixture
def workers() -> Iterator[list["subprocess.Popen[str]"]]:
    """Workers of a test, all of which are gone at its end."""
    started: list[subprocess.Popen[str]] = []
    with ExitStack() as stack:
        stack.callback(lambda: [stop_worker(process) for process in started if process.poll() is None])
        yield started


def start_worker(log: Path = Path(os.devnull), **settings: str) -> "subprocess.Popen[str]":
    """Start a worker that serves questions alone; a base model it could not load if it wanted to."""
    says_imports = ("-X", "importtime") if log != Path(os.devnull) else ()
    command = [sys.executable, *says_imports, "-m", "trainer", "--queues", "ask"]
    environment = {**os.environ, "DARKROOM_BASE_MODEL": "/no/such/model", **settings}
    with log.open("w") as file:
        return subprocess.Popen(command, env=environment, stderr=file, text=True)


@pytest.fixture
def model() -> Iterator[ModelServer]:
    with model_server() as server:
        yield server


async def test_a_question_about_darkroom_is_answered_without_a_key_or_a_network(
    app: Darkroom, chat: Chat, workers: list["subprocess.Popen[str]"]
) -> None:
    log = app.settings.home / "worker.log"
    workers.append(start_worker(log))
    async with asyncio.timeout(WITHIN_S):
        *working, done = await chat("ask", question=ROLE)
    assert done.state == "done", done.text
    assert "role" in done.text and "[1]" in done.text and "Sources:" in done.text
    assert "No web search is set up here" in done.text
    labels = [button.label for button in done.buttons]
    assert labels[:3] == ["Follow up", "Sources", "Search again"] and labels[-1] == "Delete"
    assert any("Reading sources" in reply.text for reply in working) or any("Writing" in r.text for r in working)
    await asyncio.to_thread(stop_worker, workers[0])
    said = log.read_text().splitlines()
    imported = {line.rpartition("|")[2].strip() for line in said if line.startswith("import time:")}
    assert "trainer.ask.answer.engine" in imported  # not `service`: import_module leaves no line of its own
    assert not imported & {"torch", "diffusers", "transformers", "accelerate"}


@pytest.mark.slow
async def test_a_thread_keeps_its_sources_and_numbers(
    app: Darkroom, chat: Chat, workers: list["subprocess.Popen[str]"], model: ModelServer
) -> None:
    await Documents(app.store).save(chat.space, "you", "zorvia.md", TOWER)
    workers.append(start_worker(DARKROOM_ASK_MODEL_URL=model.url, DARKROOM_ASK_MODEL=model.model))
    async with asyncio.timeout(WITHIN_S):
        first = (await chat("ask", question=TALL, mode="documents"))[-1]
        assert "312 metres" in first.text and first.job
        second = (await chat("ask", question="When was it opened?", follow=first.job))[-1]
        assert "1987" in second.text, second.text
        assert (await chat("shorter", job=first.job))[-1].state == "done"
    outcomes = [await ASK.read_outcome(app.store, str(reply.job)) for reply in (first, second)]
    answers = [outcome.answer for outcome in outcomes if outcome and outcome.answer]
    assert answers[0].numbers.items() <= answers[1].numbers.items()
    assert answers[0].usage.prompt_tokens > 0 and outcomes[0] and "tokens" in outcomes[0].detail
    job = await app.dispatch.job(str(second.job))
    assert isinstance(job, AskJob) and job.filters.mode == "documents", "where to look is kept in a thread"
    shown = (await chat("sources", job=first.job))[-1]
    assert "Zorvia" in shown.text
    related = (await chat("related", job=first.job))[-1]
    assert all(button.arguments["follow"] == first.job for button in related.buttons)
    assert "tokens" not in first.text, "what it took is for the operator"


@pytest.mark.slow
async def test_another_worker_answers_once_where_one_was_killed(
    app: Darkroom, chat: Chat, workers: list["subprocess.Popen[str]"], model: ModelServer
) -> None:
    await Documents(app.store).save(chat.space, "you", "zorvia.md", TOWER)
    model.fail("hang", after_chunks=2)
    settings = {"DARKROOM_ASK_MODEL_URL": model.url, "DARKROOM_ASK_MODEL": model.model}
    workers.append(start_worker(**settings))
    request = Request(space=chat.space, user="you", command="ask", arguments={"question": TALL, "mode": "documents"})
    replies: list[Reply] = []
    async with asyncio.timeout(WITHIN_S):
        async for reply in app.answer_to_end(request):
            replies.append(reply)
            if "Writing" in reply.text and len(workers) == 1:
                workers[0].kill()
                workers[0].wait()
                workers.append(start_worker(**settings))
    assert len(workers) == 2 and [reply.state for reply in replies].count("done") == 1
    assert "312 metres" in replies[-1].text


async def request_that_hangs(
    app: Darkroom, chat: Chat, workers: list["subprocess.Popen[str]"], model: ModelServer
) -> Request:
    """A question that a worker asks a model which stops in the middle of its answer."""
    await Documents(app.store).save(chat.space, "you", "zorvia.md", TOWER)
    model.fail("hang", after_chunks=2)
    workers.append(start_worker(DARKROOM_ASK_MODEL_URL=model.url, DARKROOM_ASK_MODEL=model.model))
    request = Request(space=chat.space, user="you", command="ask", arguments={"question": TALL, "mode": "documents"})
    return request


async def test_a_question_is_cancelled_while_it_is_answered(
    app: Darkroom, chat: Chat, workers: list["subprocess.Popen[str]"], model: ModelServer
) -> None:
    request = await request_that_hangs(app, chat, workers, model)
    async with asyncio.timeout(WITHIN_S):
        async for reply in app.answer_to_end(request):
            if "Writing" in reply.text and reply.state == "working":
                await chat("dreambooth cancel", job=request.id)
    assert reply.state == "cancelled"
    await chat("answer delete", job=request.id)
    assert await app.store.names(f"jobs/{request.id}/") == []


@pytest.mark.slow
async def test_a_second_signal_ends_a_worker_at_once(
    app: Darkroom, chat: Chat, workers: list["subprocess.Popen[str]"], model: ModelServer
) -> None:
    request = await request_that_hangs(app, chat, workers, model)
    async with asyncio.timeout(WITHIN_S), aclosing(app.answer_to_end(request)) as replies:
        async for reply in replies:
            if "Writing" in reply.text and reply.state == "working":
                break
        while workers[0].poll() is None:  # two that come at once, as to a process that has no processor, count as one
            workers[0].send_signal(signal.SIGTERM)
            await asyncio.sleep(0.2)
    assert workers[0].returncode == 128 + signal.SIGTERM


@pytest.mark.slow
async def test_a_refused_key_is_said_and_answered_with_quotations(
    app: Darkroom, chat: Chat, workers: list["subprocess.Popen[str]"], model: ModelServer
) -> None:
    await Documents(app.store).save(chat.space, "you", "zorvia.md", TOWER)
    model.fail(401, times=2)  # the related questions are asked for, too
    model.fail(404, times=2)
    workers.append(start_worker(DARKROOM_ASK_MODEL_URL=model.url, DARKROOM_ASK_MODEL=model.model))
    async with asyncio.timeout(WITHIN_S):
        refused = (await chat("ask", question=TALL, mode="documents"))[-1]
        gone = (await chat("ask", question=TALL, mode="documents"))[-1]
    assert "refuses the API key" in refused.text and "312 metres" in refused.text
    assert "does not have the model" in gone.text


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"question": "x" * 20_000}, "a question has at most 4,000 characters, this one has 20,000"),
        ({"question": "who?", "domains": " ".join(f"site{n}.org" for n in range(21))}, "at most 20 domains"),
        ({"question": "who?", "domains": "python.org -python.org"}, "cannot be both allowed and denied"),
        ({"question": "who?", "after": "2026-02-31"}, "there is no such day"),
        ({"question": " "}, "ask something"),
        ({"question": "who?", "mode": "dreams"}, "must be 'web', 'academic' or 'documents'"),
        ({"question": "who?", "follow": "last"}, "You have asked nothing here yet"),
        ({"question": "who?", "follow": "abcdef"}, "There is no job abcdef here"),
    ],
)
async def test_bad_input_has_its_sentence(app: Darkroom, chat: Chat, arguments: dict[str, str], sentence: str) -> None:
    (reply,) = await chat("ask", **arguments)
    assert sentence.lower() in reply.text.lower() and (reply.state, reply.fault) == ("failed", "input")
    assert await app.dispatch.jobs(chat.space) == []


async def test_a_private_answer_is_not_followed_up_on_in_public(app: Darkroom, chat: Chat) -> None:
    job = AskJob(space="discord:1", owner="you", question="who?", shared="channel", shared_with="7")
    await app.dispatch.accept(job)
    request = Request(
        space="discord:1", user="you", command="ask", arguments={"question": "and?", "follow": job.id}, channel="8"
    )
    replies = [reply async for reply in app.answer(request)]
    assert "not for everybody who reads here" in replies[-1].text


async def test_an_answer_quotes_only_what_its_readers_may_read(app: Darkroom) -> None:
    documents = Documents(app.store)
    await documents.save("discord:1", "ada", "public.md", TOWER)
    await documents.save("discord:1", "ada", "secret.md", TOWER, "channel", "7")
    await documents.save("discord:1", "ada", "own.md", TOWER, "private")

    async def quoted(**where: str) -> list[str]:
        request = Request(space="discord:1", user="ada", command="ask", arguments={"question": "who?"}, **where)
        assert [reply async for reply in app.answer(request)]
        job = await app.dispatch.job(request.id)
        assert isinstance(job, AskJob)
        return [each.name for each in await documents.in_space("discord:1") if each.as_read in job.documents]

    assert await quoted(channel="8") == ["public.md"]
    assert await quoted(channel="7", secluded="7") == ["public.md", "secret.md"]


def test_a_question_of_the_first_version_is_read() -> None:
    body = b"""{"schema_version": 1, "id": "01a22be9ce4be56e08a6", "kind": "ask", "space": "local", "owner": "you",
      "said": "/ask who?", "accepted_s": 1.0, "shared": "space", "question": "who?", "history": []}"""
    job = read_stored_job(body)
    assert isinstance(job, AskJob) and (job.question, job.filters.mode, job.is_short) == ("who?", "web", False)

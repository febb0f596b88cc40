"""Measure questions from a chat to their answers: `python -m tests.bench.ask_load [ANSWERS]`.

A bot's process on the local Discord, the real queue, a worker's process for questions, and the local servers for
search, pages and the model. Prints JSON: what is lost or doubled of fifty questions at once, how soon the first source
and the first word are there, and the worker's memory over many answers (1,000, or ANSWERS).
"""

import asyncio
import itertools
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import psutil

from bot.app import Darkroom
from bot.core.messages import Request
from storage.kinds.ask import ASK
from tests.bench.chats import megabytes
from tests.servers.backing import APPEND_ONLY, valkey
from tests.servers.discord import discord_server
from tests.servers.discord.world import Interaction
from tests.servers.openai_model import model_server
from tests.servers.searxng import searxng_server
from tests.servers.web import web_server
from tests.servers.web_pages.questions import KnownQuestion, all_questions
from tests.support.bot_process import settings_of
from tests.support.discord_bot import Place, bot_environment

AT_ONCE, IN_TURN, ANSWERS = 50, 20, 1000
WITHIN_S = 600.0
QUOTAS = dict.fromkeys(("DARKROOM_QUESTIONS_PER_PERSON", "DARKROOM_QUESTIONS_PER_SPACE"), "1000000")


@dataclass
class Deployment:
    """A bot and a worker that answers questions."""

    place: Place
    worker: "subprocess.Popen[bytes]"

    @property
    def app(self) -> Darkroom:
        return self.place.app


@asynccontextmanager
async def deployment() -> AsyncIterator[Deployment]:
    """All processes and servers, with settings as an operator makes them."""
    async with AsyncExitStack() as stack:
        home, url = stack.enter_context(tempfile.TemporaryDirectory()), stack.enter_context(valkey(config=APPEND_ONLY))
        web, model = stack.enter_context(web_server()), stack.enter_context(model_server())
        searxng = stack.enter_context(searxng_server(web, by_path=True))
        discord = await stack.enter_async_context(discord_server())
        environment = bot_environment(discord, {"DARKROOM_HOME": home, "REDIS_URL": url, **QUOTAS})
        app = await Darkroom.open(settings_of(environment), url)
        stack.push_async_callback(app.close)
        asking = {
            "DARKROOM_ASK_SEARXNG_URL": searxng.url, "DARKROOM_ASK_ALLOWED_HOSTS": f"127.0.0.1:{web.port}",
            "DARKROOM_ASK_MODEL_URL": model.url, "DARKROOM_ASK_MODEL": model.model,
        }  # fmt: skip
        command = [sys.executable, "-m", "trainer", "--queues", "ask"]
        worker = start(command, {**os.environ, **environment, **asking})
        stack.callback(worker.wait)
        stack.callback(worker.terminate)
        yield Deployment(Place(discord, app, environment), worker)


def start(command: list[str], environment: dict[str, str]) -> "subprocess.Popen[bytes]":
    """Start a process that says nothing here."""
    return subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)


def questions(count: int) -> list[KnownQuestion]:
    """Questions of all kinds but those whose pages never come."""
    return [known for known in all_questions() if known.kind != "slow"][:: len(all_questions()) // count][:count]


async def at_once(here: Deployment) -> dict[str, Any]:
    """Many people ask at the same moment: how many messages there are at the end, and whether each is its answer."""
    discord, asked = here.place.discord, questions(AT_ONCE)
    began_s = time.monotonic()
    given = await asyncio.gather(*(discord.slash("ask", question=known.text) for known in asked))
    await discord.until(lambda: all("Delete" in each.message.labels for each in given), within_s=WITHIN_S)
    took_s = time.monotonic() - began_s
    said = discord.visible(discord.general)
    matching = [await answers(here.app, each, known) for each, known in zip(given, asked, strict=True)]
    discord.check()
    return {
        "questions at once": AT_ONCE, "messages": len(said), "different": len({message.id for message in said}),
        "answered their question": sum(matching), "all answered after (s)": round(took_s, 1),
    }  # fmt: skip


async def answers(app: Darkroom, given: Interaction, known: KnownQuestion) -> bool:
    """Whether the message under a question has the answer of that question, and no other."""
    label = next(control for control in given.message.controls if control.get("label") == "Search again")
    job = await app.dispatch.job(re.split(r"[=:]", label["custom_id"])[-1])
    outcome = await ASK.read_outcome(app.store, job.id)
    assert outcome and outcome.answer
    return outcome.answer.question == known.text and outcome.answer.text.split("[")[0][:40] in given.message.content


async def beginnings(here: Deployment) -> dict[str, Any]:
    """How soon the first source and the first word are there, of questions one after the other; medians."""
    sources_s, words_s = [], []
    for known in questions(IN_TURN):
        source_s = word_s = 0.0
        began_s = time.monotonic()
        request = Request(space="local", user="you", command="ask", arguments={"question": known.text})
        async for reply in here.app.answer_to_end(request):
            passed_s = time.monotonic() - began_s
            if "· " in reply.text:
                source_s = source_s or passed_s
            if reply.is_markdown:
                word_s = word_s or passed_s
        sources_s += [source_s] if source_s else []
        words_s.append(word_s)
    return {"first source (s)": _median(sources_s), "first word (s)": _median(words_s)}


async def memory(here: Deployment, count: int) -> dict[str, Any]:
    """Memory of the worker's process after answers, a few at a time."""
    process, figures = psutil.Process(here.worker.pid), dict[str, float]()
    texts = itertools.cycle(known.text for known in questions(40))
    free = asyncio.Semaphore(6)

    async def one(text: str) -> None:
        async with free:
            request = Request(space="local", user="you", command="ask", arguments={"question": text})
            async for _ in here.app.answer_to_end(request):
                pass

    before = 0
    for done in (count // 10, count // 2, count):
        await asyncio.gather(*(one(next(texts)) for _ in range(done - before)))
        before, figures[f"after {done} answers (MB)"] = done, megabytes(process)
    return {"worker's memory": figures}


def _median(values: list[float]) -> float:
    return round(sorted(values)[len(values) // 2], 2) if values else 0.0


async def main(count: int) -> None:
    """Measure, and print."""
    async with deployment() as here, here.place.process():
        figures = await beginnings(here) | await at_once(here) | await memory(here, count)
    print(json.dumps(figures, indent=2))  # noqa: T201


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else ANSWERS))

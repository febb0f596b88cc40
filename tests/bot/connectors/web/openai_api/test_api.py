"""The API with real clients, against the real server, queue and store, and a worker that answers without a network."""

import asyncio
import io
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession
from openai import APIStatusError, AsyncOpenAI, BadRequestError, ConflictError, InternalServerError

from bot.app import Darkroom
from bot.connectors.web.connector import opened
from storage.contract.progress import Progress
from storage.kinds.ask import AskJob
from storage.queue import broker
from storage.queue.job_progress import write_progress
from storage.queue.worker_registry import living_workers, register_worker
from storage.settings.bot import BotSettings
from tests.conftest import stop_worker
from tests.servers.backing import valkey
from tests.support.web_chat import settings_of

WITHIN_S = 240
ROLE = "How do I share a subject with a role?"
KEY = "a key of sixteen or more"
SAID = [{"role": "user", "content": ROLE}]
pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def redis_url() -> Iterator[str]:
    with valkey() as url:
        yield url


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def process(home: Path, redis_url: str) -> Iterator["subprocess.Popen[str]"]:
    """A worker that answers questions from Darkroom's own docs."""
    command = [sys.executable, "-m", "trainer", "--queues", "ask"]
    environment = {**os.environ, "DARKROOM_HOME": str(home), "REDIS_URL": redis_url}
    with (home / "worker.log").open("w") as log:
        process = subprocess.Popen(command, env=environment, stderr=log, text=True)
    yield process
    stop_worker(process)


@pytest.fixture
async def worker(process: "subprocess.Popen[str]", redis_url: str) -> None:
    """The same, once it takes questions."""
    redis = await broker.connect(redis_url)
    async with asyncio.timeout(WITHIN_S):
        while not await living_workers(redis, "ask"):  # noqa: ASYNC110 (it tells nobody)
            await asyncio.sleep(0.1)
    await redis.aclose()


@asynccontextmanager
async def client_of(url: str, key: str = "none") -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0, timeout=WITHIN_S) as client:
        yield client


@pytest.fixture
async def url(home: Path, redis_url: str) -> AsyncIterator[str]:
    async with opened(settings_of(home, redis_url), redis_url) as url:
        yield url


@pytest.fixture
async def alone(tmp_path: Path) -> AsyncIterator[tuple[str, BotSettings]]:
    """A server that no worker belongs to, and its settings."""
    with valkey() as redis_url:
        settings = settings_of(tmp_path, redis_url)
        async with opened(settings, redis_url) as url:
            yield url, settings


async def test_an_openai_client_is_answered_with_sources(url: str, worker: None) -> None:
    async with client_of(url) as client:
        assert [model.id async for model in client.models.list()] == ["darkroom"]
        assert (await client.models.retrieve("darkroom")).owned_by == "darkroom"
        documents = {"search_mode": "documents"}
        reply = await client.chat.completions.create(model="gpt-4o", messages=SAID, extra_body=documents)
        message = reply.choices[0].message
        assert message.content and "role" in message.content and reply.usage
        for note in message.annotations or []:
            cited = note.url_citation
            number = int(message.content[cited.start_index + 1 : cited.end_index - 1])
            assert reply.model_extra and reply.model_extra["citations"][number - 1] == cited.url
        assert message.annotations
        more = [*SAID, {"role": "assistant", "content": message.content}, {"role": "user", "content": "And it?"}]
        again = await client.chat.completions.create(model="sonar", messages=more, extra_body=documents)
        before, after = (r.model_extra["citations"] for r in (reply, again) if r.model_extra)
        assert len(after) >= len(before)
        kept = zip(before, after, strict=False)
        assert all(now in ("", was) for was, now in kept), "numbers keep their meaning in a thread"


async def test_an_openai_client_streams(url: str, worker: None) -> None:
    async with client_of(url) as client:
        stream = await client.chat.completions.create(
            model="darkroom",
            messages=SAID,
            stream=True,
            stream_options={"include_usage": True},
            extra_body={"search_mode": "documents", "return_related_questions": True},
        )
        chunks = [chunk async for chunk in stream]
    *_, end, usage = chunks
    assert usage.choices == [] and usage.usage
    assert end.choices[0].finish_reason == "stop" and end.model_extra and end.model_extra["citations"]
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert "role" in text and "[1]" in text
    assert len({chunk.id for chunk in chunks}) == 1


@pytest.mark.parametrize(("mode", "path"), [("full", "/v1/chat/completions"), ("concise", "/chat/completions")])
async def test_a_client_of_sonar_streams(url: str, worker: None, mode: str, path: str) -> None:
    sent = {"model": "sonar", "messages": SAID, "stream": True, "stream_mode": mode, "search_mode": "documents"}
    async with ClientSession() as session, session.post(f"{url}{path}", json=sent) as response:
        assert response.status == 200 and response.content_type == "text/event-stream"
        lines = (await response.text()).strip().split("\n\n")
    assert lines[-1] == "data: [DONE]" and all(line.startswith("data: ") for line in lines)
    last = lines[-2]
    assert '"search_results"' in last and '"citations"' in last and '"total_tokens"' in last
    assert ("chat.completion.done" in last) == (mode == "concise")


async def test_a_message_of_somebody_else_is_history(alone: tuple[str, BotSettings]) -> None:
    url, settings = alone
    said: list[Any] = [
        {"role": "user", "content": "How tall is the Zorvia tower?"},
        {"role": "assistant", "content": "312 metres [3]."},
        {"role": "user", "content": "When was it opened?"},
    ]
    async with client_of(url) as client:
        with pytest.raises(InternalServerError) as raised:
            await client.chat.completions.create(model="darkroom", messages=said)
        assert raised.value.status_code == 503 and "no worker is running" in raised.value.message
        assert raised.value.code == "no_worker"
    (job,) = await jobs(settings)
    assert job.question == "When was it opened?"
    assert [turn.answer.text for turn in job.conversation] == ["312 metres ."], "its number means nothing here"


async def test_errors_have_openais_form_and_leave_no_job(alone: tuple[str, BotSettings]) -> None:
    url, settings = alone
    async with client_of(url) as client:
        with pytest.raises(BadRequestError) as raised:
            wrong = {"search_domain_filter": ["python.org", "-python.org"]}
            await client.chat.completions.create(model="darkroom", messages=SAID, stream=True, extra_body=wrong)
        assert "both allowed and denied" in raised.value.message and raised.value.code == "invalid_filter"
    async with ClientSession() as session:
        for body, status in ((b"no json", 400), (b"[]", 400), (b'"' + b"x" * 2**21 + b'"', 413)):
            headers = {"Content-Type": "application/json"}
            async with session.post(f"{url}/v1/chat/completions", data=io.BytesIO(body), headers=headers) as response:
                assert response.status == status and (await response.json())["error"]["message"]
        async with session.get(f"{url}/v1/models/other") as response:
            assert response.status == 404 and (await response.json())["error"]["code"] == "model_not_found"
    assert await jobs(settings) == []


async def test_too_many_questions_are_refused(tmp_path: Path) -> None:
    with valkey() as redis_url:
        settings = settings_of(tmp_path, redis_url, DARKROOM_REQUESTS_PER_MINUTE=1)
        async with opened(settings, redis_url) as url, client_of(url) as client:
            codes = []
            for _ in range(2):
                with pytest.raises(APIStatusError) as raised:
                    await client.chat.completions.create(model="darkroom", messages=SAID)
                codes.append(raised.value.status_code)
            assert codes == [503, 429]


@pytest.mark.parametrize("stream", [False, True])
async def test_a_question_ends_when_its_client_goes_or_somebody_cancels_it(
    alone: tuple[str, BotSettings], stream: bool
) -> None:
    url, settings = alone
    async with answering(settings) as app, client_of(url) as client:
        call = asyncio.create_task(_read(client, stream))
        async with asyncio.timeout(WITHIN_S):
            first = await new_job(app, 1)
            await write_progress(app.redis, Progress(job=first.id, phase="writing", live={"text": "It is"}))
            call.cancel()
            await asyncio.wait({call})
            while not (outcome := await app.dispatch.outcome(first)):  # noqa: ASYNC110 (a store tells nobody)
                await asyncio.sleep(0.05)
            assert outcome.state == "cancelled"
            call = asyncio.create_task(_read(client, stream))
            await app.dispatch.cancel(await new_job(app, 2))
            with pytest.raises(ConflictError) as raised:
                await call
        assert raised.value.code == "cancelled"


@pytest.mark.parametrize(
    ("sent", "hosts", "key", "status"),
    [
        ({}, "", "", 200),
        ({"Authorization": "Bearer whatever"}, "", "", 200),
        ({"X-Forwarded-For": "10.0.0.1"}, "", "", 403),
        ({}, "darkroom.example.org", "", 403),
        ({"Host": "darkroom.example.org"}, "darkroom.example.org", "", 403),
        ({"Host": "darkroom.example.org", "Authorization": f"Bearer {KEY}"}, "darkroom.example.org", KEY, 200),
        ({"Authorization": f"Bearer {KEY}!"}, "", KEY, 401),
        ({}, "", KEY, 401),
        ({"Host": "evil.example", "Authorization": f"Bearer {KEY}"}, "", KEY, 403),
        ({"Origin": "https://evil.example"}, "", "", 403),
    ],
)
async def test_who_may_use_it(
    tmp_path: Path, redis_url: str, sent: dict[str, str], hosts: str, key: str, status: int
) -> None:
    more = {"DARKROOM_HOSTS": hosts} | ({"DARKROOM_API_KEY": key} if key else {})
    async with (
        opened(settings_of(tmp_path, redis_url, **more), redis_url) as url,
        ClientSession() as session,
        session.get(f"{url}/v1/models", headers=sent) as response,
    ):
        assert response.status == status
        assert KEY not in await response.text()


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "application/json", "Sec-Fetch-Site": "cross-site"},
        {"Content-Type": "application/json", "Sec-Fetch-Site": "none"},
        {"Content-Type": "application/json", "Origin": "https://evil.example"},
        {"Content-Type": "application/json", "Origin": "null"},
    ],
)
async def test_pages_of_other_sites_ask_nothing(alone: tuple[str, BotSettings], headers: dict[str, str]) -> None:
    url, settings = alone
    body = b'{"messages": [{"role": "user", "content": "who?"}]}'
    async with ClientSession() as session:
        async with session.post(f"{url}/v1/chat/completions", data=body, headers=headers) as response:
            assert response.status == 403
        async with session.post(f"{url}/messages", data=b"{}", headers={"Content-Type": "application/json"}) as other:
            assert other.status == 403, "this is for the API alone"
    assert await jobs(settings) == []


async def _read(client: AsyncOpenAI, stream: bool) -> None:
    reply = await client.chat.completions.create(model="darkroom", messages=SAID, stream=stream)
    if stream:
        assert [chunk async for chunk in reply]


@asynccontextmanager
async def answering(settings: BotSettings) -> AsyncIterator[Darkroom]:
    """A second look at the same deployment, with a worker that is there and takes nothing."""
    app = await Darkroom.open(settings, settings.redis_url)

    async def live() -> None:
        while True:
            await register_worker(app.redis, "idle", ["ask"], "")
            await asyncio.sleep(1)

    living = asyncio.create_task(live())
    try:
        yield app
    finally:
        living.cancel()
        await asyncio.wait({living})
        await app.close()


async def new_job(app: Darkroom, count: int) -> AskJob:
    """The newest question, as soon as there are so many."""
    while len(found := await app.dispatch.jobs("local")) < count:  # noqa: ASYNC110 (a store tells nobody)
        await asyncio.sleep(0.02)
    assert isinstance(found[0], AskJob)
    return found[0]


async def jobs(settings: BotSettings) -> list[AskJob]:
    """All questions that were accepted."""
    app = await Darkroom.open(settings, settings.redis_url)
    try:
        return [job for job in await app.dispatch.jobs("local") if isinstance(job, AskJob)]
    finally:
        await app.close()

"""The local web chat in trouble: what it says, and that nothing which was accepted is lost."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import ClientSession, StreamReader, web
from aiohttp.test_utils import TestClient, TestServer
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoPermissionError

from bot.connectors.web.connector import opened
from bot.connectors.web.handlers import store_troubles
from bot.core.chat_log import ChatLog, ChatMessage
from bot.core.messages import Reply
from storage.errors import Full, StoreError
from storage.failures import Failure
from storage.ids import new_id
from storage.objects.folder import FolderStore
from tests.servers.backing import valkey
from tests.support.web_chat import add_pictures, settings_of


class Client:
    """A page without a browser: sends lines, and reads the messages as they are now."""

    def __init__(self, session: ClientSession, url: str) -> None:
        self.session, self.url = session, url

    async def say(self, line: str) -> str:
        """Send a line; give the message's id."""
        async with self.session.post(f"{self.url}/messages", data={"line": line}) as response:
            assert response.status == 201
            return str((await response.json())["id"])

    async def messages(self) -> list[ChatMessage]:
        """All messages, oldest first."""
        async with self.session.get(f"{self.url}/messages") as response:
            return [ChatMessage.model_validate(message) for message in (await response.json())["messages"]]

    async def until(self, message_id: str, words: str) -> Reply:
        """Wait for an answer that contains `words`."""
        async with asyncio.timeout(120):
            while True:
                found = [m.reply for m in await self.messages() if m.id == message_id and words in m.reply.text]
                if found:
                    return found[0]
                await asyncio.sleep(0.05)


@asynccontextmanager
async def client(home: Path, redis_url: str) -> AsyncIterator[Client]:
    """Serve a chat and talk to it."""
    async with (
        opened(settings_of(home, redis_url), redis_url) as url,
        ClientSession(headers={"Origin": url}) as session,
    ):
        yield Client(session, url)


async def test_what_was_accepted_goes_on_after_a_restart_of_all(tmp_path: Path) -> None:
    for _ in range(2):
        with valkey(tmp_path / "queue") as url:
            async with client(tmp_path, url) as chat:
                known = await chat.messages()
                accepted = known[0].id if known else await chat.say("/imagine a dog")
                assert (await chat.until(accepted, "Waiting")).job == accepted


async def test_redis_dying_under_the_chat_loses_nothing(tmp_path: Path) -> None:
    with valkey() as url:
        running = client(tmp_path, url)
        chat = await running.__aenter__()
        accepted = await chat.say("/imagine a dog")
        await chat.until(accepted, "Waiting")
    try:
        reply = await chat.until(accepted, "Nothing is lost; trying again")
        assert (reply.state, reply.job) == ("working", accepted)
        late = await chat.say("/imagine a cat")
        assert (await chat.until(late, "does not answer")).fault == "ours"
    finally:
        await running.__aexit__(None, None, None)


async def test_a_store_that_fails_is_said(tmp_path: Path) -> None:
    with valkey() as url:
        async with client(tmp_path, url) as chat:
            (tmp_path / "store").rename(tmp_path / "elsewhere")
            (tmp_path / "store").write_text("a file where the folder was")
            message = await chat.say("/imagine a dog")
            reply = await chat.until(message, "The storage or the queue failed")
            assert (reply.state, reply.fault) == ("failed", "ours")
            (tmp_path / "store").unlink()
            record = tmp_path / "store" / "jobs" / message / "job.json"
            record.parent.mkdir(parents=True)
            record.symlink_to(record)
            async with chat.session.get(f"{chat.url}/pictures/jobs/{message}/1/1.png") as response:
                assert response.status == 503
                assert "The storage or the queue failed" in (await response.json())["error"]


@pytest.mark.parametrize(
    ("error", "status", "says"),
    [
        (StoreError("it is away"), 503, "does not answer"),
        (StoreError("it refuses", Failure.PERMANENT), 500, "refuses this. Trying again does not help"),
        (Full("it is full"), 503, "disk of the storage is full"),
        (NoPermissionError("no"), 500, "refuses this. Trying again does not help"),
        (RedisConnectionError("Connection refused"), 503, "does not answer"),
    ],
)
async def test_the_kind_of_failure_decides_what_is_said(error: Exception, status: int, says: str) -> None:
    async def fails(request: web.Request) -> web.Response:
        raise error

    app = web.Application(middlewares=[store_troubles])
    app.router.add_get("/", fails)
    async with TestClient(TestServer(app)) as page, page.get("/") as response:
        assert response.status == status and says in (await response.json())["error"]


async def test_what_a_crash_left_open_is_followed_or_told(tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "store")
    log = ChatLog(store, "local")
    made, lost = await add_pictures(store, "a dog"), new_id()
    working = Reply(text="On it.", state="working")
    await log.write(ChatMessage(id=made.id, said="/imagine a dog", command="imagine", reply=working))
    await log.write(ChatMessage(id=lost, said="/dreambooth train rex dog", command="dreambooth train", reply=working))
    await store.put("chats/local/0123.json", b"not a message")
    with valkey() as url:
        async with client(tmp_path, url) as chat:
            assert (await chat.until(made.id, "a dog")).state == "done"
            assert (await chat.until(lost, "Please send it again")).state == "failed"
            assert len(await chat.messages()) == 2
    assert json.loads((await store.get(f"chats/local/{lost}.json")).data)["reply"]["state"] == "failed"


async def test_messages_of_jobs_deleted_elsewhere_are_gone(tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "store")
    log = ChatLog(store, "local")
    gone = new_id()
    await log.write(ChatMessage(id=gone, said="/imagine a secret", reply=Reply(text="a secret", job=gone)))
    with valkey() as url:
        async with client(tmp_path, url) as chat:
            assert await chat.messages() == []
    assert await store.names("chats/") == []


async def test_the_stream_brings_everything_then_each_change(tmp_path: Path) -> None:
    with valkey() as url:
        async with client(tmp_path, url) as chat, chat.session.get(f"{chat.url}/events") as stream:
            assert await stream.content.readline() == b"retry: 1000\n"
            assert await event(stream.content) == ("everything", {"messages": [], "more": False})
            drawing = await chat.say("/imagine a dog")
            await chat.until(drawing, "Waiting")
            await chat.say(f"/dreambooth cancel {drawing}")
            heard: list[Reply] = []
            while not heard or heard[-1].state == "working":
                kind, body = await event(stream.content)
                assert kind == "message"
                message = ChatMessage.model_validate(body)
                heard += [message.reply] if message.id == drawing else []
            assert "Waiting: no worker is running at the moment." in [reply.text for reply in heard]
            assert heard[-1].text == "Cancelled before it started."


async def event(stream: StreamReader) -> tuple[str, dict[str, object]]:
    """Read one event of a stream: its kind and what it carries."""
    kind, data, _ = [(await stream.readline()).decode().strip() for _ in range(3)]
    return kind.removeprefix("event: "), json.loads(data.removeprefix("data: "))

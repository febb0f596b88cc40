"""The local chat while the store is in trouble: what was accepted is followed, and what was said is kept."""

import asyncio
from collections.abc import AsyncIterator, Callable
from email.message import Message as Header
from pathlib import Path
from typing import Any

import pytest

from bot.app import Darkroom
from bot.connectors.web.chat import Chat
from bot.core.chat_log import ChatMessage
from bot.core.local_space import SPACE, USER
from bot.core.messages import Request
from bot.photos.uploads import Upload
from storage.ids import new_id
from storage.lifecycle.garbage_collection import GarbageCollector
from storage.settings.bot import BotSettings
from tests.conftest import photos_of_a_character
from tests.servers.backing import s3_environment, valkey
from tests.servers.proxy import Mischief, proxy

REFUSED = (403, "<Error><Code>AccessDenied</Code></Error>")


class Trouble:
    """Some requests are refused until it is over."""

    def __init__(self) -> None:
        self.method, self.part, self.refused = "", "", 0

    def begin(self, method: str, part: str) -> None:
        """Refuse these from now on."""
        self.method, self.part, self.refused = method, part, 0

    def end(self) -> None:
        """Let everything through."""
        self.method = ""

    def __call__(self, method: str, path: str, headers: Header) -> Mischief:
        """What happens to a request."""
        if method != self.method or self.part not in path:
            return None
        self.refused += 1
        return REFUSED


@pytest.fixture
async def trouble(
    s3_server: str, s3_client: Any, tmp_path: Path, micro_model: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Trouble]:
    """The way to the store, on which there may be trouble."""
    bucket, trouble = f"tests-{new_id()}", Trouble()
    s3_client.create_bucket(Bucket=bucket)
    with valkey() as url, proxy(s3_server, trouble) as endpoint:
        places = {"DARKROOM_STORE": f"s3://{bucket}", "DARKROOM_HOME": str(tmp_path), "REDIS_URL": url}
        model = {"DARKROOM_BASE_MODEL": str(micro_model), "DARKROOM_PHOTO_MIN_PX": "64"}
        for name, value in {**s3_environment(endpoint), **places, **model}.items():
            monkeypatch.setenv(name, value)
        yield trouble


@pytest.fixture
async def chat(trouble: Trouble) -> AsyncIterator[Chat]:
    settings = BotSettings()
    app = await Darkroom.open(settings, settings.redis_url)
    chat = Chat(app)
    await chat.open()
    yield chat
    await chat.close()
    await app.close()


async def ask(chat: Chat, command: str, *uploads: Upload, **arguments: str) -> ChatMessage:
    given = {name.rstrip("_"): value for name, value in arguments.items()}
    request = Request(space=SPACE, user=USER, command=command, arguments=given, uploads=uploads)
    return await chat.ask(request, f"/{command}")


async def until(happened: Callable[[], bool]) -> None:
    async with asyncio.timeout(120):
        while not happened():  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def test_a_training_that_is_accepted_while_the_store_fails_is_followed(chat: Chat, trouble: Trouble) -> None:
    trouble.begin("GET", "/job.json")  # it can be written down, and not be read again
    asked = await ask(chat, "dreambooth train", *photos_of_a_character(2), name="rex", class_="dog")
    await until(lambda: "refuses what I need" in chat.messages[asked.id].reply.text)
    trouble.end()
    await until(lambda: "Waiting" in chat.messages[asked.id].reply.text)
    assert chat.open_jobs() == [asked.id]
    photos = chat.messages[asked.id].photos
    assert len(photos) == 2 and all(photo.key for photo in photos)


async def test_a_subject_whose_name_cannot_be_taken_is_swept(chat: Chat, trouble: Trouble) -> None:
    trouble.begin("PUT", "names/")
    asked = await ask(chat, "dreambooth train", *photos_of_a_character(2), name="rex", class_="dog")
    await until(lambda: chat.messages[asked.id].answered)
    assert chat.messages[asked.id].reply.fault == "ours" and trouble.refused
    trouble.end()
    await GarbageCollector(chat.app.store, older_s=-1).sweep()
    assert not await chat.app.store.names("subjects/")


async def test_what_cannot_be_kept_is_kept_later(chat: Chat, trouble: Trouble) -> None:
    trouble.begin("PUT", "chats/")
    asked = await ask(chat, "dreambooth list")
    await until(lambda: chat.messages[asked.id].answered)
    assert not chat.at_rest and await chat.log.read() == []
    trouble.end()
    await until(lambda: chat.at_rest)
    assert await chat.log.read() == [chat.messages[asked.id]]

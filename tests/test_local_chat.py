"""The local chat while the store is in trouble: what was accepted is followed to its end."""

import asyncio
from email.message import Message
from pathlib import Path
from typing import Any

import pytest

from bot.app import Darkroom
from bot.chat import SPACE, USER, Chat
from bot.messages import Request
from storage.ids import new_id
from storage.settings import Settings
from tests.conftest import photos_of_a_character
from tests.servers import Mischief, proxy, s3_environment, valkey

REFUSED = (403, "<Error><Code>AccessDenied</Code></Error>")


class Trouble:
    """Jobs can be written down, and not be read again until it is over."""

    def __init__(self) -> None:
        self.over, self.refused = False, 0

    def __call__(self, method: str, path: str, headers: Message) -> Mischief:
        """What happens to a request."""
        if self.over or method != "GET" or not path.endswith("/job.json"):
            return None
        self.refused += 1
        return REFUSED


async def test_a_training_that_is_accepted_while_the_store_fails_is_followed(
    s3_server: str, s3_client: Any, tmp_path: Path, micro_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket, trouble = f"tests-{new_id()}", Trouble()
    s3_client.create_bucket(Bucket=bucket)
    with valkey() as url, proxy(s3_server, trouble) as endpoint:
        store = {"DARKROOM_STORE": f"s3://{bucket}", "DARKROOM_HOME": str(tmp_path)}
        model = {"DARKROOM_BASE_MODEL": str(micro_model), "DARKROOM_PHOTO_MIN_PX": "64"}
        for name, value in {**s3_environment(endpoint), **store, **model}.items():
            monkeypatch.setenv(name, value)
        app = await Darkroom.open(Settings(), url)
        chat = Chat(app)
        await chat.open()
        arguments = {"name": "rex", "class": "dog"}
        uploads = photos_of_a_character(2)
        request = Request(space=SPACE, user=USER, command="dreambooth train", arguments=arguments, uploads=uploads)
        asked = await chat.ask(request, "/dreambooth train rex dog")
        async with asyncio.timeout(30):
            while not trouble.refused:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
            await asyncio.sleep(0.5)
            trouble.over = True
            while "Waiting" not in (now := chat.messages[asked.id]).reply.text:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        assert chat.open_jobs() == [now.reply.job] == [asked.id]
        assert len(now.photos) == 2 and all(photo.key for photo in now.photos)
        await chat.close()
        await app.close()

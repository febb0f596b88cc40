"""Adding documents: what cannot be read, and what no answer will quote, is said at once."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from bot.app import Darkroom
from bot.photos.uploads import Upload
from storage.ask.documents import Documents
from storage.settings.bot import BotSettings
from storage.settings.shared import load_settings
from tests.conftest import Chat
from tests.servers.backing import valkey
from tests.trainer.ask.test_extract import pdf

SPACE = "discord:1"
NOT_QUOTED = "No answer here quotes it"


@pytest.fixture
async def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Darkroom]:
    """A bot without a worker."""
    monkeypatch.setenv("DARKROOM_HOME", str(tmp_path))
    with valkey() as url:
        darkroom = await Darkroom.open(load_settings(BotSettings), url)
        yield darkroom
        await darkroom.close()


async def test_a_pdf_without_text_to_read_is_refused_when_it_is_added(app: Darkroom) -> None:
    chat = Chat(app, SPACE, "ada", channel="7")
    files = {"locked.pdf": pdf("x", password="secret"), "scan.pdf": pdf(), "broken.pdf": b"%PDF-1.4 nonsense"}
    uploads = [Upload(name=name, data=data) for name, data in files.items()]
    (reply,) = await chat("documents add", uploads=tuple(uploads))
    assert reply.fault == "input" and "locked.pdf is encrypted: I cannot read it without its password." in reply.text
    assert "scan.pdf has no text, only pictures of pages: it may be a scan." in reply.text
    assert "broken.pdf is damaged, or no PDF." in reply.text
    assert await Documents(app.store).in_space(SPACE) == []
    (reply,) = await chat("documents add", uploads=(Upload(name="tower.pdf", data=pdf("It is 312 metres tall.")),))
    assert "Added tower.pdf" in reply.text and NOT_QUOTED not in reply.text


@pytest.mark.slow
async def test_a_few_pdfs_are_looked_at_at_once(app: Darkroom) -> None:
    async def add(person: int, number: int) -> str:
        upload = Upload(name=f"{person}-{number}.pdf", data=pdf("It is 312 metres tall."))
        (reply,) = await Chat(app, SPACE, str(person), channel="7")("documents add", uploads=(upload,))
        return reply.text

    adding = asyncio.gather(*(add(person, number) for person in range(3) for number in range(2)))
    most = 0
    while not adding.done():
        checks = [each for each in psutil.Process().children() if _is_check(each)]
        most = max(most, len(checks))
        await asyncio.sleep(0.005)
    assert all("Added" in text for text in await adding) and 1 <= most <= 2


def _is_check(process: psutil.Process) -> bool:
    try:
        return "storage.ask.pdf_check" in process.cmdline()
    except psutil.Error:
        return False


@pytest.mark.parametrize(
    ("place", "audience", "is_quoted"),
    [
        ({"channel": "7"}, "space", True),
        ({"channel": "7"}, "private", False),
        ({"channel": "7"}, "channel", False),
        ({"channel": "7", "secluded": "7"}, "channel", True),
        ({"channel": "7", "secluded": "7"}, "private", False),
    ],
)
async def test_who_adds_a_document_that_no_answer_will_quote_is_told(
    app: Darkroom, place: dict[str, str], audience: str, is_quoted: bool
) -> None:
    chat = Chat(app, SPACE, "ada", **place)
    upload = Upload(name="a.txt", data=b"The tower is 312 metres tall.")
    (reply,) = await chat("documents add", uploads=(upload,), audience=audience)
    assert "Added a.txt" in reply.text and (NOT_QUOTED not in reply.text) is is_quoted


async def test_in_a_direct_conversation_every_document_is_quoted(app: Darkroom) -> None:
    upload = Upload(name="a.txt", data=b"The tower is 312 metres tall.")
    (reply,) = await Chat(app, "discord:dm:5", "5")("documents add", uploads=(upload,), audience="private")
    assert "Added a.txt" in reply.text and NOT_QUOTED not in reply.text

"""What Discord takes in no form, or acknowledges in few words; what is slow before an acknowledgement."""

import asyncio
import io
import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from PIL import Image

from bot.commands import button_ids
from bot.connectors.discord import ack, responder
from bot.connectors.discord.connector import CDN
from bot.connectors.discord.uploads import fit
from bot.photos.fetch import FileHosts
from storage.contract.subjects import subject_key
from tests.servers.discord import Discord, Trouble
from tests.support.discord_bot import (
    EDITS,
    SPACE,
    UPLOADS,
    an_old_message,
    announcements,
    drawing,
    open_posts,
    training,
)
from tests.support.manual_worker import Hand, is_picture

pytestmark = pytest.mark.timeout(300)

TOO_LARGE = (413, {"code": 40005, "message": "Request entity too large"})
MALFORMED = (400, {"code": 50035, "message": "Invalid Form Body"})


@pytest.mark.parametrize(("status", "body"), [TOO_LARGE, MALFORMED], ids=["too large", "malformed"])
async def test_pictures_that_discord_does_not_take_become_smaller_or_are_left_out(
    discord: Discord, hand: Hand, status: int, body: dict[str, object]
) -> None:
    for refusals in (1, 2):
        job, asked = await drawing(discord, hand)
        discord.troubles.append(Trouble(UPLOADS, status, body, times=refusals, only_files=True))
        await hand.draw(job)
        await discord.until(lambda asked=asked: "Again" in asked.message.labels)
        names = [attachment["filename"] for attachment in asked.message.attachments]
        assert names == (["grid.jpg"] if refusals == 1 else [])
        assert ("does not take the pictures" in asked.message.text) == (refusals == 2)


async def test_an_announcement_whose_sheet_discord_does_not_take(discord: Discord, hand: Hand) -> None:
    job, _ = await training(discord, hand)
    discord.troubles.append(Trouble("POST /channels/.*/messages", *TOO_LARGE, times=2, only_files=True))
    await hand.train(job)
    (said,) = await discord.until(lambda: announcements(discord))
    assert "does not take the pictures" in said.text and "Imagine" in said.labels
    await discord.until(lambda: not open_posts(hand.app))


async def test_what_discord_takes_in_no_form_is_told_in_private(discord: Discord, hand: Hand) -> None:
    job, asked = await drawing(discord, hand)
    discord.troubles.append(Trouble(EDITS, *MALFORMED, times=3))
    await hand.draw(job)
    await discord.until(lambda: "a dog in Paris" in asked.message.text)
    assert not asked.message.labels, "bare words"
    job, asked = await drawing(discord, hand)
    discord.troubles.append(Trouble(EDITS, *MALFORMED, times=4))
    await hand.draw(job)
    (told,) = await discord.until(discord.private)
    assert "a dog in Paris" in told.text and told.attachments


async def test_a_thread_that_was_archived_gets_a_new_message(discord: Discord, hand: Hand) -> None:
    job, asked = await drawing(discord, hand)
    discord.troubles.append(Trouble(EDITS, 400, {"code": 50083, "message": "Thread is archived"}))
    await hand.draw(job)
    (new,) = await discord.until(lambda: [m for m in discord.visible(discord.general) if "Again" in m.labels])
    assert new is not asked.message and new.attachments


@pytest.mark.parametrize("untold", [{"id"}, {"id", "resource"}, {"body"}], ids=["id", "id and resource", "body"])
async def test_the_same_message_also_where_its_id_is_told_late(discord: Discord, hand: Hand, untold: set[str]) -> None:
    discord.untold = untold
    job, asked = await drawing(discord, hand)
    discord.expire_tokens()
    await hand.draw(job)
    await discord.until(lambda: "Again" in asked.message.labels)
    assert discord.visible(discord.general) == [asked.message]


async def test_responses_of_which_nothing_is_told_are_responses(discord: Discord, hand: Hand) -> None:
    await hand.keep(SPACE, discord.people["ada"].id, 1)
    discord.untold = {"body"}
    asked = (await discord.slash("dreambooth forget", name="pet-1")).message
    await discord.press(asked, "No")
    form = await discord.slash("dreambooth train")
    refused = (await discord.slash("dreambooth forget", name="max")).message
    assert form.answer == 9 and asked.text == "Nothing was changed." and "no subject called max" in refused.text
    await asyncio.sleep(0.1)
    assert discord.private() == [asked, refused]


@contextmanager
def stuck(path: Path) -> Iterator[None]:
    """A file that nobody gets to the end of, as on a network drive that hangs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    os.mkfifo(path)
    try:
        yield
    finally:
        freed = os.open(path, os.O_RDWR | os.O_NONBLOCK)
        path.unlink()  # nobody begins to wait for it any more, and who waits comes to its end
        os.close(freed)


@pytest.mark.parametrize("what", ["a button", "what is to be forgotten"])
async def test_a_slow_queue_and_a_stuck_store_together_do_not_delay_an_acknowledgement(
    discord: Discord, hand: Hand, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, what: str
) -> None:
    monkeypatch.setattr(ack, "HEARD_S", 0.6)
    monkeypatch.setattr(responder, "ASK_REDIS_S", 0.4)
    old = an_old_message(discord, f"#{'0' * 20}")
    await hand.keep(SPACE, discord.people["ada"].id, 1)
    (pet,) = await hand.app.subjects.in_space(SPACE)
    key = f"{button_ids.LOOSE}{'0' * 20}" if what == "a button" else subject_key(pet.id)
    with stuck(tmp_path / "store" / key):
        await hand.app.redis.client_pause(1000)
        if what == "a button":
            asked = await discord.press(old, "Go")
            assert "storage or the queue does not answer" in asked.message.text
        else:  # who is to be forgotten is read before the question is put: it comes when the store answers
            asked = await discord.slash("dreambooth forget", name=pet.name)
        assert asked.took_s > 0.5  # and the store is stuck still; Discord refuses what comes after three seconds


def test_a_picture_is_made_as_small_as_it_must_be() -> None:
    noise = Image.frombytes("RGB", (600, 400), random.Random(1).randbytes(600 * 400 * 3))
    png = io.BytesIO()
    noise.save(png, "PNG")
    assert fit("a.png", png.getvalue(), 2**20) == ("a.png", png.getvalue())
    for most_bytes in (200_000, 20_000):
        name, data = fit("a.png", png.getvalue(), most_bytes)
        assert name == "a.jpg" and len(data) <= most_bytes and is_picture(data)
    assert fit("a.png", png.getvalue(), 2**20, jpeg=True)[0] == "a.jpg"


def test_files_of_discord_itself_are_fetched() -> None:
    for host in ("cdn.discordapp.com", "media.discordapp.net"):
        assert FileHosts(CDN).have(f"https://{host}/attachments/1/2/rex.png?ex=7f&is=1&hm=0")
        assert not FileHosts(CDN).have(f"http://{host}/attachments/1/2/rex.png")

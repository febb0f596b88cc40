"""Odd files on Discord: empty, expired, elsewhere, too large; the sentence each gets, and what is still done."""

import re

import pytest

from bot.core.limits import Limits
from tests.servers.discord import Discord, File
from tests.support.discord_bot import SPACE, options, photos
from tests.support.manual_worker import Hand
from tests.support.photo_files import saved, scene
from tests.support.quick import slow_but

pytestmark = pytest.mark.timeout(300)

PAGE = File("rex.png", b"<html>log in</html>", "text/html")

ODD = {
    "empty": (File("rex.png", b"", "image/png"), "the file is empty"),
    "no picture": (File("rex.png", b"MZ\x90" * 100, "application/x-msdownload"), "is not a picture"),
    "a page": (PAGE, "a web page instead of a file"),
    "expired": (File("rex.png", b"-", expired=True), "link has expired"),
    "elsewhere": (File("rex.png", b"-", location="http://169.254.169.254/"), "status 302"),
    "too large": (File("rex.png", bytes(33 << 20), "image/png"), "too large"),
}


@pytest.mark.parametrize("kind", slow_but(ODD, *list(ODD)[:2]))
async def test_an_odd_file_is_refused_and_the_others_are_not(discord: Discord, hand: Hand, kind: str) -> None:
    file, says = ODD[kind]
    asked = await discord.slash("dreambooth train", name="rex", class_="dog", **options([*photos(2), file]))
    await discord.until(lambda: "Cancel" in asked.message.labels)
    assert asked.message.text.startswith("2 of 3 photos can be used.") and says in asked.message.text
    await discord.press(asked.message, "Train")
    job = await hand.job(SPACE)
    assert len((await hand.app.subjects.get(job.subjects[0])).photos) == 2


async def test_odd_files_alone_are_refused_in_one_sentence(discord: Discord, hand: Hand) -> None:
    await discord.slash(
        "dreambooth train", name="rex", class_="dog", photo1=ODD["expired"][0], photo2=ODD["expired"][0]
    )
    (said,) = await discord.until(discord.private)
    assert said.text.startswith("None of 2 photos could be used: each is gone, its link has expired")
    assert not await hand.jobs(SPACE) and not discord.visible(discord.general)


async def test_a_surprise_carries_a_reference_that_the_log_has(
    discord: Discord, hand: Hand, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def a_bug(self: Limits, job: object) -> None:
        raise ZeroDivisionError

    files = options([*photos(2), ODD["no picture"][0]])
    question = (await discord.slash("dreambooth train", name="rex", class_="dog", **files)).message
    await discord.until(lambda: "Train" in question.labels)
    monkeypatch.setattr(Limits, "admit", a_bug)
    await discord.press(question, "Train")
    (said,) = await discord.until(discord.private)
    assert re.search(r"Something went wrong on our side \(reference (\w+)\)", said.text)[1] in caplog.text
    assert "Cancel" in question.labels


async def test_a_file_of_25_mb_is_taken(discord: Discord, hand: Hand) -> None:
    large = File("large.png", saved(scene(seed=9)) + bytes(25 << 20), "image/png")
    await discord.slash("dreambooth train", name="rex", class_="dog", **options([*photos(2), large]))
    job = await hand.job(SPACE)
    assert len((await hand.app.subjects.get(job.subjects[0])).photos) == 3

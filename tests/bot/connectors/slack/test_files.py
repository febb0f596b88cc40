"""Odd files on Slack: no photos, too large, gone, hidden; what is asked then, and that it is answered once."""

import asyncio
import re

import pytest

from bot.core.limits import Limits
from bot.photos.uploads import Upload
from storage.kinds.train import TrainJob
from tests.conftest import photos_of_a_character
from tests.servers.slack.people import ADA, labels, words
from tests.servers.slack.workspace import File
from tests.support.slack_bot import SPACE, Scene


def pdf(scene: Scene) -> File:
    return scene.slack.workspace.add_file("paper.pdf", b"%PDF-1.7 and so on", ADA)


def huge(scene: Scene) -> File:
    return scene.slack.workspace.add_file("huge.png", bytes(25 * 2**20), ADA)


def empty(scene: Scene) -> File:
    return scene.slack.workspace.add_file("empty.png", b"", ADA)


async def test_files_that_are_no_photos_are_asked_about(scene: Scene) -> None:
    photos = [*scene.slack.photos(photos_of_a_character()), pdf(scene), empty(scene), huge(scene)]
    async with scene.bot():
        await scene.slack.mention("train rex dog", files=photos)
        question = await scene.slack.message("How shall I go on with rex?")
        assert all(name in words(question) for name in ("paper.pdf", "empty.png", "huge.png"))
        await scene.slack.press(question, "Cancel")
        await scene.slack.message(lambda m: m is question and "was not trained" in m.text)
        assert await scene.hand.jobs(SPACE) == []


@pytest.mark.parametrize(
    ("serves", "size", "sentence"),
    [
        ("bytes", 64 * 2**20, "too large"),
        ("html", 10, "web page"),
        pytest.param("gone", 10, "is gone", marks=pytest.mark.slow),
        pytest.param("elsewhere", 10, "status 302", marks=pytest.mark.slow),
    ],
)
async def test_a_file_that_cannot_be_fetched_is_refused_like_any_other_photo(
    scene: Scene, serves: str, size: int, sentence: str
) -> None:
    odd = scene.slack.workspace.add_file("odd.png", bytes(size), ADA, serves=serves)
    async with scene.bot():
        await scene.slack.mention("train rex dog", files=[*scene.slack.photos(photos_of_a_character()), odd])
        question = await scene.slack.message("How shall I go on with rex?")
        assert question.text.startswith("4 of 5 photos can be used.") and sentence in words(question)
        await scene.slack.press(question, "Train")
        job = await scene.job()
        assert len((await scene.app.subjects.get(job.subjects[0])).photos) == 4


async def test_when_no_file_can_be_fetched_one_sentence_says_so(scene: Scene) -> None:
    odd = [scene.slack.workspace.add_file(f"{k}.png", b"-", ADA, serves="gone") for k in range(3)]
    async with scene.bot():
        await scene.slack.mention("train rex dog", files=odd)
        said = await scene.slack.message("None of 3 photos could be used: each is gone, its link has", user=ADA)
        assert scene.slack.seen() == [] and scene.slack.seen(user=ADA) == [said]
        assert await scene.hand.jobs(SPACE) == []


async def test_a_file_that_slack_does_not_show_is_refused_like_any_other_photo(scene: Scene) -> None:
    message = await scene.slack.say("my dog", scene.slack.photos(photos_of_a_character(3)))
    async with scene.bot():
        await scene.slack.shortcut(message)
        form = await scene.slack.view()
        del scene.slack.workspace.files[message.files[1]]
        await scene.slack.submit(form, name="rex", **{"class": "dog"})
        question = await scene.slack.message("How shall I go on with rex?")
        assert question.text.startswith("2 of 3 photos can be used.")
        assert "*a photo*\\nis not shown to me by Slack (file_not_found)" in words(question)


async def test_a_surprise_carries_a_reference_that_the_log_has(
    scene: Scene, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def a_bug(self: Limits, job: object) -> None:
        raise ZeroDivisionError

    async with scene.bot():
        await scene.slack.mention("train rex dog", files=[*scene.slack.photos(photos_of_a_character()), pdf(scene)])
        question = await scene.slack.message("How shall I go on with rex?")
        monkeypatch.setattr(Limits, "admit", a_bug)
        await scene.slack.press(question, "Train")
        said = await scene.slack.message("Something went wrong on our side (reference", user=ADA)
        assert re.search(r"reference (\w+)", said.text)[1] in caplog.text
        assert scene.slack.seen() == [question] and "Cancel" in labels(question)


async def test_too_many_photos_are_not_even_fetched(scene: Scene) -> None:
    photos = scene.slack.photos([Upload(name=f"{k}.png", data=b"-") for k in range(31)])
    async with scene.bot():
        await scene.slack.mention("train rex dog", files=photos)
        await scene.slack.message("the limit is", user=ADA)
        assert not scene.slack.seen()


@pytest.mark.slow
async def test_a_question_that_is_answered_twice_at_once_trains_once(scene: Scene) -> None:
    async with scene.bot():
        await scene.slack.mention("train rex dog", files=[*scene.slack.photos(photos_of_a_character()), empty(scene)])
        question = await scene.slack.message("How shall I go on with rex?")
        await asyncio.gather(*(scene.slack.press(question, "Train") for _ in range(2)))
        job = await scene.job()
        await scene.slack.message(lambda m: m.only_for == ADA, user=ADA)
        assert isinstance(job, TrainJob)
        await scene.hand.train(job)
        await scene.slack.message(lambda m: "rex is ready" in m.text and "<@" in m.text)
        assert len(await scene.hand.jobs(SPACE)) == 1

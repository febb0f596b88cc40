"""What Slack really does to a bot: load, rate limits, lost connections, redelivery, closed channels."""

import asyncio
import time
from typing import Any

import pytest

from bot.connectors.slack import errors as slack_errors
from bot.connectors.slack import poster as slack_poster
from storage.kinds.train import TrainJob
from tests.conftest import photos_of_a_character
from tests.servers.slack.people import ADA, BOB, begun, images, labels
from tests.servers.slack.server import until
from tests.servers.slack.workspace import Channel, Message
from tests.support.discord_bot import open_posts
from tests.support.slack_bot import SPACE, Scene

COMMANDS, EVERY_S = 200, 0.03  # faster than the twenty a second that we promise for


def nth(share: float, sorted_s: list[float]) -> float:
    """A quantile of some times."""
    return sorted_s[min(int(len(sorted_s) * share), len(sorted_s) - 1)]


@pytest.mark.exhaustive
async def test_two_hundred_commands_are_acknowledged_while_they_are_worked_on(scene: Scene) -> None:
    async with scene.bot():
        async with asyncio.TaskGroup() as typing:
            for k in range(COMMANDS):
                typing.create_task(scene.slack.slash("/imagine", f"a dog in Paris, number {k}"))
                await asyncio.sleep(EVERY_S)
        took_s = sorted(d.ack_s for d in scene.slack.workspace.deliveries if d.ack_s is not None)
        assert len(took_s) == COMMANDS
        assert nth(0.5, took_s) < 1 and nth(0.99, took_s) < 3, (nth(0.5, took_s), nth(0.99, took_s))
        jobs = await until(lambda: len(scene.slack.seen()) == COMMANDS and scene.slack.seen())
        assert len({m.ts for m in jobs}) == COMMANDS


async def test_who_somebody_is_is_asked_once_and_not_waited_for(scene: Scene) -> None:
    scene.server.trouble("users.info", lost=True)
    scene.server.trouble("usergroups.list", status=503)
    async with scene.bot():
        await scene.slack.slash("/imagine")
        form = await scene.slack.view()  # with a trigger that is good for three seconds
        await scene.slack.submit(form, prompt="a dog in Paris")
        await scene.job()
        await scene.slack.slash("/dreambooth", "list")
        await scene.slack.message("No subjects yet", user=ADA)
        assert [scene.server.count(method) for method in ("users.info", "usergroups.list")] == [2, 2]


async def test_words_in_private_do_not_wait_for_the_pace_of_the_channel(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slack_poster.SlackPoster, "channel_rate", (1, 3600.0))
    async with scene.bot():
        await asyncio.gather(*(scene.slack.slash("/darkroom", "help") for _ in range(20)))
        await until(lambda: len(scene.slack.seen(user=ADA)) == 20)


@pytest.mark.parametrize("retry_after_s", [1, None])
@pytest.mark.parametrize("method", ["chat.update", "files.getUploadURLExternal", "files.completeUploadExternal"])
async def test_slack_asks_for_patience(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, method: str, retry_after_s: int | None
) -> None:
    monkeypatch.setattr(slack_errors, "RETRY_AFTER_S", 0.5)
    async with scene.bot():
        await scene.slack.slash("/imagine", "a dog in Paris")
        job = await scene.job()
        await scene.slack.message("no worker is running")
        trouble = scene.server.trouble(method, retry_after_s=retry_after_s)
        await scene.hand.draw(job)
        await trouble.happened.wait()
        began_s, calls = time.monotonic(), scene.server.count(method)
        await scene.slack.message(lambda m: bool(images(m)))
        assert time.monotonic() - began_s > 0.4 and scene.server.count(method) == calls + 1
        assert len(scene.slack.seen()) == 1


@pytest.mark.parametrize("error", ["internal_error", "fatal_error", "service_unavailable"])
async def test_slack_has_trouble_of_its_own(scene: Scene, error: str) -> None:
    status = 503 if error == "service_unavailable" else None
    async with scene.bot():
        await scene.slack.slash("/imagine", "a dog in Paris")
        job = await scene.job()
        await scene.slack.message("no worker is running")
        scene.server.trouble("chat.update", error, times=2, status=status)
        await scene.hand.draw(job)
        await scene.slack.message(lambda m: bool(images(m)))


@pytest.mark.parametrize(
    ("method", "error"),
    [("files.getUploadURLExternal", "file_uploads_disabled"), ("files.completeUploadExternal", "blocked_file_type")],
)
async def test_where_slack_takes_no_pictures_the_rest_is_said(scene: Scene, method: str, error: str) -> None:
    async with scene.bot():
        await scene.slack.slash("/imagine", "a dog in Paris")
        job = await scene.job()
        await scene.slack.message("no worker is running")
        scene.server.trouble(method, error)
        await scene.hand.draw(job)
        message = await scene.slack.message("Slack does not take the pictures here.")
        assert "Again" in labels(message) and not images(message)


@pytest.mark.parametrize("trouble", [{}, {"error": "invalid_blocks"}])
async def test_pictures_are_uploaded_once_however_often_their_message_is_tried(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, trouble: dict[str, str]
) -> None:
    monkeypatch.setattr(slack_errors, "RETRY_AFTER_S", 0.1)
    monkeypatch.setattr(slack_poster, "PROCESSING_S", (0.01, 0.01))
    async with scene.bot():
        await scene.slack.slash("/imagine", "a dog in Paris")
        job = await scene.job()
        await scene.slack.message("no worker is running")
        scene.server.trouble("chat.update", times=3, **trouble)
        await scene.hand.draw(job)
        await scene.slack.message(lambda m: bool(images(m)))
        assert scene.server.count("files.completeUploadExternal") == 1
        await scene.imagined("a cat in Rome")


async def test_where_slack_shows_no_uploaded_pictures_in_messages_they_come_in_the_thread(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slack_poster, "PROCESSING_S", (0.1, 0.1))
    scene.server.answers.refuses_file_blocks = True
    async with scene.bot():
        await scene.slack.slash("/imagine", "a dog in Paris")
        message = await scene.slack.message(begun)
        await scene.hand.draw(await scene.job())
        shared = await scene.slack.message(lambda m: bool(m.files))
        assert shared.thread_ts == message.ts and "Again" in labels(message) and not images(message)


async def test_pictures_are_shown_as_soon_as_slack_has_processed_them(scene: Scene) -> None:
    scene.slack.workspace.processing_s = 1
    async with scene.bot():
        await scene.imagined()
        assert scene.server.count("files.completeUploadExternal") == 1


async def test_a_message_that_was_deleted_is_written_anew(scene: Scene) -> None:
    async with scene.bot():
        await scene.slack.slash("/imagine", "a dog in Paris")
        job, message = await scene.job(), await scene.slack.message("no worker is running")
        del scene.slack.general.messages[message.ts]
        await scene.hand.progress(job.id, "drawing", 3, 10)
        new = await scene.slack.message("3 of 10")
        await scene.hand.draw(job)
        await scene.slack.message(lambda m: m is new and bool(images(m)))
        assert scene.slack.seen() == [new]


async def test_a_training_whose_message_was_deleted_is_announced_beside_it(scene: Scene) -> None:
    async with scene.bot():
        await scene.slack.mention("train rex dog", files=scene.slack.photos(photos_of_a_character()))
        job, message = await scene.job(), await scene.slack.message("no worker is running")
        del scene.slack.general.messages[message.ts]
        assert isinstance(job, TrainJob)
        await scene.hand.train(job)
        end = await scene.slack.message(lambda m: "rex is ready" in m.text and "<@" in m.text)
        assert not end.thread_ts


def archived(channel: Channel) -> None:
    channel.archived = True


def left(channel: Channel) -> None:
    channel.private, channel.bot_inside = True, False


@pytest.mark.slow
@pytest.mark.parametrize("close", [archived, left])
async def test_who_asked_is_told_in_private_when_the_channel_is_closed(scene: Scene, close: Any) -> None:
    async with scene.bot():
        await scene.slack.mention("train rex dog", files=scene.slack.photos(photos_of_a_character()))
        job = await scene.job()
        await scene.slack.message("no worker is running")
        close(scene.slack.general)
        assert isinstance(job, TrainJob)
        await scene.hand.progress(job.id, "learning", 3, 10)
        await scene.hand.train(job)
        (told,) = await until(scene.slack.told)
        assert "rex is ready" in told.text and images(told)
        await until(lambda: not open_posts(scene.app))
        assert scene.slack.told() == [told]


async def test_the_bot_says_that_it_was_not_invited(scene: Scene) -> None:
    secret = scene.slack.workspace.add_channel("secret", private=True, bot_inside=False)
    async with scene.bot():
        await scene.slack.slash("/imagine", "a dog in Paris", channel=secret)
        await scene.slack.message("Invite me with /invite", user=ADA, channel=secret)
        assert await scene.hand.jobs(SPACE) == []


async def test_two_people_press_at_once(scene: Scene) -> None:
    async with scene.bot():
        message = await scene.imagined()
        await asyncio.gather(*(scene.slack.press(message, "Again", user=user) for user in (ADA, BOB)))
        await scene.job(3)
        assert {job.owner for job in (await scene.hand.jobs(SPACE))[:2]} == {ADA, BOB}


async def test_buttons_of_long_ago_work_in_a_bot_that_never_saw_them(scene: Scene) -> None:
    async with scene.bot():
        message: Message = await scene.imagined("a dog in Paris " + "and so on " * 40)
    async with scene.bot():
        await scene.slack.press(message, "V1")
        assert (await scene.job(2)).owner == ADA

"""The unmodified `darkroom slack` as a process: both ways to Slack, killed at each phase."""

import asyncio
import re
import time
from unittest.mock import ANY

import pytest

from storage.errors import SetupError
from storage.kinds.imagine import ImagineJob
from storage.kinds.train import TrainJob
from tests.conftest import photos_of_a_character
from tests.servers.slack import Slack
from tests.servers.slack.people import ADA, BOB, images, labels
from tests.servers.slack.server import until
from tests.servers.slack.workspace import Channel, Message
from tests.support.slack_bot import SPACE, Scene

TAKES_OVER_S = 90.0  # fifteen on a quiet machine


def finals(scene: Scene, channel: Channel) -> list[Message]:
    """The messages in a channel that say how something ended."""
    ends = ("<@", "a dog, ")
    return [m for m in scene.slack.seen(channel) if any(end in m.text for end in ends)]


async def wait_for_last_words(scene: Scene) -> None:
    """Wait until the bot has nothing more to say."""
    async with asyncio.timeout(120):
        while await scene.app.store.names("posts/"):  # noqa: ASYNC110 (the bot is another process)
            await asyncio.sleep(0.1)


@pytest.mark.slow
async def test_killed_at_each_phase_and_started_again(scene: Scene) -> None:
    places = {name: scene.slack.workspace.add_channel(name) for name in ("queued", "learning", "done", "said", "drawn")}
    jobs: dict[str, TrainJob | ImagineJob] = {}
    async with scene.process() as bot:
        for name, channel in places.items():
            if name in ("queued", "drawn"):
                await scene.slack.slash("/imagine", f"a dog, {name}", channel=channel)
            else:
                photos = scene.slack.photos(photos_of_a_character())
                await scene.slack.mention(f"train {name} dog", files=photos, channel=channel)
            jobs[name] = await scene.job(len(jobs) + 1)
        await scene.hand.progress(jobs["learning"].id, "learning", 3, 10, samples=1)
        await scene.slack.message("3 of 10", channel=places["learning"])
        lost = scene.server.trouble("chat.postMessage", lost=True)  # it is said, but the bot never hears so
        await scene.hand.train(jobs["said"])
        await lost.happened.wait()
        await scene.slack.message("<@", channel=places["said"])
        begun = scene.server.trouble("chat.postMessage", lost=True)
        begins = scene.slack.workspace.add_channel("begun")
        await scene.slack.slash("/imagine", "a dog, begun", channel=begins)
        await begun.happened.wait()
        await bot.kill()
    await scene.hand.train(jobs["done"])
    async with scene.process():
        await scene.hand.train(jobs["learning"])
        await scene.hand.draw(jobs["queued"])
        await scene.hand.draw(jobs["drawn"])
        await scene.hand.draw(await scene.job(6))  # what was begun goes on without being asked again
        places["begun"] = begins
        await wait_for_last_words(scene)
        for name, channel in places.items():
            seen = scene.slack.seen(channel)
            assert len(finals(scene, channel)) == 1, (name, [m.text for m in seen])
            assert len(seen) == (2 if name in ("learning", "done", "said") else 1), (name, [m.text for m in seen])


async def written_down(scene: Scene, words: str) -> None:
    """Wait until the bot has written down what is asked of it."""
    posts = scene.settings.home / "store" / "posts" / "slack"
    await until(lambda: any(words in post.read_text() for post in posts.glob("*.json")))


async def asked_about(scene: Scene) -> Message:
    """Send nine photos and what is none, and wait for the question about them."""
    text = scene.slack.workspace.add_file("notes.png", b"not a picture", ADA)
    await scene.slack.mention("train rex dog", files=[*scene.slack.photos(photos_of_a_character(9)), text])
    return await scene.slack.message("How shall I go on with rex?")


@pytest.mark.slow
async def test_killed_just_after_a_question_was_answered(scene: Scene) -> None:
    async with scene.process() as bot:
        question = await asked_about(scene)
        await scene.slack.press(question, "Train")
        await written_down(scene, "draft train")
        await bot.kill()
    async with scene.process():
        job = await scene.job()
        await scene.slack.message(lambda m: m is question and "9 photos used. Waiting" in m.text)
        assert len((await scene.app.subjects.get(job.subjects[0])).photos) == 9
    assert scene.slack.seen() == [question] and not scene.slack.seen(user=ADA)


@pytest.mark.slow
async def test_killed_while_more_photos_for_a_question_are_fetched(scene: Scene) -> None:
    stuck = scene.slack.workspace.add_file("rex.png", b"-", ADA, serves="stuck")
    async with scene.process() as bot:
        question = await asked_about(scene)
        await scene.slack.press(question, "Add photos")
        await scene.slack.submit(await scene.slack.view(), files=[stuck])
        await bot.kill()
    async with scene.process():
        await scene.slack.message("interrupted before it began", user=ADA)
        assert scene.slack.seen() == [question] and labels(question) == ["Train", "Add photos", "Cancel"]
        await scene.slack.press(question, "Train")
        await scene.job()


@pytest.mark.slow
async def test_killed_before_anything_was_said(scene: Scene) -> None:
    stuck = scene.server.trouble("users.info", lost=True)
    async with scene.process() as bot:
        await scene.slack.slash("/imagine", "a dog in Paris")
        await stuck.happened.wait()
        await bot.kill()
    async with scene.process():
        await scene.slack.message("interrupted before it began", user=ADA)
        await wait_for_last_words(scene)
    assert not scene.slack.seen() and not await scene.hand.jobs(SPACE)


async def test_a_second_process_stands_by_and_takes_over(scene: Scene) -> None:
    async with scene.process() as first, scene.process(ready=False) as second:
        await until(lambda: scene.server.count("auth.test") == 2)
        await scene.slack.slash("/imagine", "a dog in Paris")
        job, message = await scene.job(), await scene.slack.message("Waiting")
        assert isinstance(job, ImagineJob)
        await first.kill(lead_passes=False)
        killed_s = time.monotonic()
        assert not second.said
        await asyncio.wait_for(second.ready.wait(), 120)
        took_s = time.monotonic() - killed_s
        await scene.hand.draw(job)
        await scene.slack.message(lambda m: m is message and bool(images(m)))
        await scene.slack.slash("/darkroom", "help")
        await scene.slack.message("Send a few photos", user=ADA)
    assert took_s < TAKES_OVER_S and scene.slack.seen() == [message]
    print(f"taken over after {took_s:.1f} s")  # noqa: T201


async def test_signed_requests_over_http(scene: Scene) -> None:
    async with scene.process(without="SLACK_APP_TOKEN") as process:
        slack = Slack(scene.server, process.url)
        assert slack.http
        command = slack.payloads.slash("/imagine", "a dog in Paris", ADA, slack.general)
        assert await slack.http.post("slash_commands", command, secret="wrong") == (401, ANY)
        assert await slack.http.post("slash_commands", command, age_s=600) == (401, ANY)
        assert await slack.http.send("events_api", {"type": "url_verification", "challenge": "c"}) == {"challenge": "c"}
        await slack.deliver("slash_commands", command)
        await slack.http.post("slash_commands", command, retry=1)
        job = await scene.job()
        assert isinstance(job, ImagineJob)
        await scene.hand.draw(job)
        drawn = await slack.message(lambda m: bool(images(m)))
        await slack.press(drawn, "Edit prompt")
        answer = await slack.submit(await slack.view(), size="33")
        assert answer["errors"] == {"size": "Sides of a picture are multiples of 8 pixels: 32×32 would do."}
        await slack.mention("help", user=BOB)
        await slack.message("Send a few photos", user=BOB)
        assert len(await scene.hand.jobs(SPACE)) == 1


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"SLACK_BOT_TOKEN": "xoxb-wrong"}, "Slack refuses SLACK_BOT_TOKEN (invalid_auth). Copy it again from"),
        ({"SLACK_APP_TOKEN": "xapp-wrong"}, "Slack refuses SLACK_APP_TOKEN (invalid_auth). Copy it again from"),
        ({"SLACK_API_URL": "http://127.0.0.1:9/api/"}, "Is SLACK_API_URL right, and is Slack reachable from here?"),
    ],
)
async def test_a_bot_that_cannot_start_says_what_to_do(scene: Scene, changed: dict[str, str], sentence: str) -> None:
    scene.environment |= changed
    with pytest.raises(SetupError, match=re.escape(sentence)):
        async with scene.bot():
            pass

"""Discord and Slack while the store fails: what is owed is said as soon as it can be, and said once."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from bot.delivery import reliable_poster
from storage.contract.progress import Progress
from storage.kinds.imagine import ImagineJob
from storage.kinds.train import TrainJob
from storage.queue.job_progress import write_progress
from tests.conftest import photos_of_a_character
from tests.servers.discord import Discord
from tests.servers.slack.people import begun, images
from tests.servers.slack.server import until
from tests.support.discord_bot import SPACE, Place, open_posts, options, photos
from tests.support.manual_worker import Hand, unreadable
from tests.support.slack_bot import Scene

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reliable_poster, "PAUSE_S", 0.2)


async def logged(caplog: pytest.LogCaptureFixture, words: str) -> None:
    """Wait until the log says something."""
    async with asyncio.timeout(120):
        while words not in caplog.text:  # noqa: ASYNC110 (a log tells nobody)
            await asyncio.sleep(0.02)


@pytest.fixture
async def discord_with_photos(place: Place) -> AsyncIterator[Discord]:
    """A Discord whose bot shows people's photos in the channel."""
    place.environment["DARKROOM_PHOTOS_IN_PUBLIC"] = "true"
    async with place.bot():
        yield place.discord


async def test_a_training_ends_while_its_photos_cannot_be_read(
    discord_with_photos: Discord, hand: Hand, caplog: pytest.LogCaptureFixture
) -> None:
    discord = discord_with_photos
    asked = await discord.slash("dreambooth train", name="rex", class_="dog", **options(photos()))
    job = await hand.job(SPACE)
    assert isinstance(job, TrainJob)
    subject = await hand.app.subjects.get(job.subjects[0])
    with unreadable(hand.app, subject.photos[0].key):
        await hand.train(job)
        await logged(caplog, f"message of job {job.id}: what is to be said cannot be read")
    (said,) = await discord.until(lambda: [m for m in discord.visible(discord.general) if m.pings])
    await discord.until(lambda: "is ready" in asked.message.text and not open_posts(hand.app))
    assert said.attachments and discord.visible(discord.general) == [asked.message, said]


async def test_a_training_whose_photos_are_damaged_is_announced_without_a_sheet(
    discord_with_photos: Discord, hand: Hand
) -> None:
    discord = discord_with_photos
    asked = await discord.slash("dreambooth train", name="rex", class_="dog", **options(photos()))
    job = await hand.job(SPACE)
    assert isinstance(job, TrainJob)
    subject = await hand.app.subjects.get(job.subjects[0])
    await hand.app.store.put(subject.photos[0].key, b"torn")
    await hand.train(job)
    (said,) = await discord.until(lambda: [m for m in discord.visible(discord.general) if m.pings])
    await discord.until(lambda: "is ready" in asked.message.text and not open_posts(hand.app))
    assert "is ready" in said.text and len(said.attachments) == 2  # the sample pictures themselves


@pytest.mark.slow
async def test_a_sample_picture_cannot_be_read_for_a_while(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    async with scene.bot():
        await scene.slack.mention("train rex dog", files=scene.slack.photos(photos_of_a_character()))
        job = await scene.job()
        assert isinstance(job, TrainJob)
        sample = await scene.hand.picture(job.id, "sample-0")
        with unreadable(scene.app, sample.key):
            now = Progress(job=job.id, phase="learning", step=10, of=400, samples=(sample,))
            await write_progress(scene.app.redis, now)
            await logged(caplog, f"message of job {job.id}: what is to be said cannot be read")
        await scene.slack.message("10 of 400")
        await scene.hand.train(job)
        await scene.slack.message(lambda m: "rex is ready" in m.text and "<@" in m.text)


async def test_pictures_are_done_while_they_cannot_be_read(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    async with scene.bot():
        await scene.slack.slash("/imagine", "a dog in Paris")
        job, message = await scene.job(), await scene.slack.message(begun)
        assert isinstance(job, ImagineJob)
        grid = await scene.hand.picture(job.id, "grid")
        with unreadable(scene.app, grid.key):
            await scene.hand.draw(job, grid)
            await logged(caplog, f"message of job {job.id}: what is to be said cannot be read")
        await scene.slack.message(lambda m: m is message and bool(images(m)))
        await until(lambda: not open_posts(scene.app))
        assert scene.slack.seen() == [message]

"""What photos may cost before they are learned: none is fetched for who asks too fast, and few at once for all."""

import asyncio

import psutil
import pytest

from bot.commands.train import vetted
from bot.connectors.slack import client as slack_client
from bot.connectors.slack.attachments import Attachments
from bot.core.messages import Request
from bot.photos.decoder_pool import AT_ONCE as DECODED_AT_ONCE
from bot.photos.decoder_pool import SLOW_AT_ONCE
from bot.photos.fetch import AT_ONCE
from bot.photos.in_flight import InFlight, InFlightShare
from tests.conftest import photos_of_a_character
from tests.servers.discord import File
from tests.servers.slack.people import ADA
from tests.servers.slack.server import until
from tests.servers.slack.workspace import File as SlackFile
from tests.support.discord_bot import SPACE, Place, options
from tests.support.slack_bot import Scene

pytestmark = pytest.mark.timeout(300)


async def test_who_asks_too_fast_on_discord_is_told_before_photos_are_fetched(place: Place) -> None:
    place.environment["DARKROOM_REQUESTS_PER_MINUTE"] = "1"
    async with place.bot():
        await place.discord.slash("imagine", prompt="a dog")
        await place.hand.job(SPACE)
        stuck = [File(f"{k}.png", b"-", stuck=True) for k in range(3)]
        await place.discord.slash("dreambooth train", name="rex", class_="dog", **options(stuck))
        (said,) = await place.discord.until(place.discord.private)
        assert "Rate limit" in said.text


async def test_who_asks_too_fast_on_slack_is_told_before_photos_are_fetched(scene: Scene) -> None:
    scene.environment["DARKROOM_REQUESTS_PER_MINUTE"] = "1"
    async with scene.bot():
        await scene.slack.slash("/imagine", "a dog in Paris")
        await scene.job()
        await scene.slack.mention("train rex dog", files=stuck(scene, 3))
        await scene.slack.message("Rate limit", user=ADA)
        assert not scene.server.files.stuck


def stuck(scene: Scene, count: int) -> list[SlackFile]:
    """Photos that take for ever."""
    return [scene.slack.workspace.add_file(f"{k}.png", b"-", ADA, serves="stuck") for k in range(count)]


async def test_of_all_requests_on_slack_few_photos_are_fetched_at_once(scene: Scene) -> None:
    async with slack_client.session() as http:
        attachments = Attachments(slack_client.web_client(scene.settings, http), http, scene.settings)
        asked = [[file.as_json(scene.server.base) for file in stuck(scene, AT_ONCE)] for _ in range(2)]
        in_flight = InFlight(scene.settings)
        shares = [InFlightShare(in_flight, person) for person in ("slack:ada", "slack:bob")]
        fetching = [asyncio.create_task(attachments.fetch(*each)) for each in zip(asked, shares, strict=True)]
        await until(lambda: scene.server.files.stuck == AT_ONCE)
        await asyncio.sleep(0.2)
        assert scene.server.files.stuck == AT_ONCE
        for task in fetching:
            task.cancel()
        await asyncio.gather(*fetching, return_exceptions=True)


@pytest.mark.slow
async def test_of_all_requests_few_photos_are_decoded_at_once(scene: Scene) -> None:
    photos, most, us = photos_of_a_character(), 0, psutil.Process()
    people = [Request(space="slack:T1", user=f"U{k}", command="dreambooth train") for k in range(3 * DECODED_AT_ONCE)]
    asked = asyncio.gather(*(vetted(scene.app, person, photos) for person in people))
    while not asked.done():
        most = max(most, sum("bot.photos.decoder_process" in child.cmdline() for child in us.children()))
        await asyncio.sleep(0.05)
    assert 0 < most <= DECODED_AT_ONCE + SLOW_AT_ONCE and all(len(vetting.accepted) == 4 for vetting in await asked)

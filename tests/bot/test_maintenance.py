"""What only has to last a day goes while bots run, and what is delivered again is known even to an emptied Redis."""

import asyncio
from pathlib import Path

import pytest

from bot import maintenance
from bot.app import Darkroom
from bot.commands import button_ids, drafts
from bot.core import dedupe
from bot.core.messages import Button
from storage.settings.bot import BotSettings
from tests.conftest import photos_of_a_character
from tests.servers.backing import valkey
from tests.support.discord_bot import SPACE, Place
from tests.support.slack_bot import Scene
from tests.support.stores import records

pytestmark = pytest.mark.timeout(300)
LONG = Button(label="Send", command="dreambooth train", arguments={"photos": "https://files.example/1.png " * 9})


async def test_what_is_a_day_old_goes_while_a_bot_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(maintenance, "EVERY_S", 0.05)
    monkeypatch.setattr(maintenance, "POLL_S", 0.05)
    with valkey() as url:
        app = await Darkroom.open(BotSettings(DARKROOM_HOME=str(tmp_path)), url)
        fresh = await button_ids.write(app.store, LONG)
        old = f"{'0' * 12}{fresh[13:]}"
        await dedupe.is_first(app.redis, app.store, "new")
        kept = await records(app.store)
        gone = [f"{drafts.prefix(old)}draft.json", f"buttons/{old}", f"buttons/{old * 2}", "events/2001-01-01/x"]
        for name in gone:
            await app.store.put(name, b"private")
        async with asyncio.timeout(120):
            while await records(app.store) != kept:  # noqa: ASYNC110 (a store tells nobody)
                await asyncio.sleep(0.02)
        await app.close()


async def forget_events(app: Darkroom) -> None:
    """Redis loses what it knows of events."""
    async for key in app.redis.scan_iter("darkroom:event:*"):
        await app.redis.delete(key)


async def test_what_slack_delivers_again_after_redis_was_emptied_is_one_job(scene: Scene) -> None:
    async with scene.bot():
        mention = await scene.slack.mention("train rex dog", files=scene.slack.photos(photos_of_a_character()))
        await scene.job()
        await forget_events(scene.app)
        await scene.slack.deliver("events_api", mention)
        command = await scene.slack.slash("/imagine", "a dog in Paris")
        await scene.job(2)
        await forget_events(scene.app)
        await scene.slack.deliver("slash_commands", command)
        await scene.slack.slash("/imagine", "a cat in Rome")  # heard after it
        await scene.job(3)


async def test_what_discord_delivers_again_after_redis_was_emptied_is_one_job(place: Place) -> None:
    async with place.bot():
        asked = await place.discord.slash("imagine", prompt="a dog in Paris")
        await place.hand.job(SPACE)
        await forget_events(place.app)
        await place.discord.send(asked)
        other = await place.discord.slash("darkroom help")  # heard after it
        await place.discord.until(lambda: other.message.text)
        assert len(await place.hand.jobs(SPACE)) == 1


async def test_yesterdays_events_are_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with valkey() as url:
        app = await Darkroom.open(BotSettings(DARKROOM_HOME=str(tmp_path)), url)
        assert await app.first("slack:1")
        now_s = dedupe.time.time()
        for days, known in ((1, True), (2, False)):
            await forget_events(app)
            monkeypatch.setattr(dedupe.time, "time", lambda days=days: now_s + days * dedupe.DAY_S)
            assert await app.first("slack:1") is not known
            monkeypatch.undo()
        await app.close()

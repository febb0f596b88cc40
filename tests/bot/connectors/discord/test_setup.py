"""The set-up: what is registered and when, the invite link, what the doctor says, first words, shards, the docs."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import discord as discord_py
import pytest
from discord.http import Route

from bot.connectors.discord import setup as discord_setup
from bot.connectors.discord.connector import use_api
from bot.connectors.discord.request import NAMES, NEEDED
from bot.connectors.discord.setup import invite_link
from bot.connectors.discord.slash_commands import SPOKEN, TRAIN_MENU, command_definitions
from bot.core.checks import Check
from tests.servers.discord import Discord, Trouble, cloudflare, too_fast
from tests.servers.discord.contract import SPEC, contract
from tests.servers.discord.world import ADMINISTRATOR, ALL_PERMISSIONS
from tests.support.bot_process import settings_of
from tests.support.discord_bot import SPACE, Place, drawing

pytestmark = pytest.mark.timeout(300)
PAGE = Path(__file__).parents[4] / "docs" / "discord.md"
OTHER_GUILD = str((1 << 22) + 7000)  # which Discord gives to the second of two shards


async def test_commands_are_registered_only_when_they_changed(place: Place) -> None:
    discord = place.discord
    for _ in range(2):
        async with place.bot():
            assert discord.syncs == 1
    names = {command["name"] for command in discord.commands}
    assert names == {"imagine", "dreambooth", "ask", "documents", "darkroom", TRAIN_MENU}
    async for key in place.app.redis.scan_iter("darkroom:discord:commands:*"):
        await place.app.redis.set(key, b"of another version")
    async with place.bot():
        assert discord.syncs == 2
    discord.commands.clear()  # an operator did it, say
    async with place.bot():
        assert discord.syncs == 3 and discord.commands


async def test_a_bot_that_may_not_register_serves_with_the_commands_of_before(place: Place) -> None:
    async with place.bot():
        pass
    await place.app.redis.flushdb()
    place.discord.troubles.append(Trouble("PUT .*/commands", 403, {"code": 50001, "message": "Missing Access"}))
    async with place.bot():
        await place.discord.slash("imagine", prompt="a dog")
        await place.hand.job(SPACE)


async def test_a_bot_waits_for_a_discord_that_does_not_let_it_in_yet(place: Place) -> None:
    place.discord.troubles += [too_fast(f"GET {path}$", None, via=False) for path in ("/users/@me", "/gateway/bot")]
    async with place.bot():
        assert not any(trouble.times for trouble in place.discord.troubles)


@pytest.mark.parametrize("path", ["/users/@me", "/gateway/bot", "/gateway/"])
async def test_cloudflare_is_asked_again_when_it_said(place: Place, path: str) -> None:
    discord = place.discord
    if path == "/gateway/":
        discord.gateway.turned_away.append(cloudflare("", 2))
    else:
        discord.troubles.append(cloudflare(f"GET {path}$", 2, times=2))
    began_s = time.monotonic()
    async with place.bot():
        took_s = time.monotonic() - began_s
    refused_s = [seen.at_s for seen in discord.seen if seen.status == 429]
    early = [seen for at_s in refused_s for seen in discord.seen if at_s < seen.at_s < at_s + 1.9]
    assert took_s > 2 and not early
    assert not discord.gateway.turned_away and not any(trouble.times for trouble in discord.troubles)


async def test_no_request_is_made_while_cloudflare_asks_for_patience(place: Place) -> None:
    discord = place.discord
    async with place.bot():
        job, asked = await drawing(discord, place.hand)
        discord.troubles.append(cloudflare("PATCH /", 2))
        await place.hand.draw(job)
        await discord.until(lambda: not discord.troubles[0].times)
        told_s = discord.seen[-1].at_s
        await discord.until(lambda: "Again" in asked.message.labels)
        assert [seen for seen in discord.seen if told_s < seen.at_s < told_s + 1.9] == []


@pytest.mark.parametrize(
    ("url", "base"),
    [
        ("", "https://discord.com/api/v10"),
        ("http://proxy:8080", "http://proxy:8080/api/v10"),
        ("http://proxy:8080/api/", "http://proxy:8080/api/v10"),
        ("https://proxy/discord/api/v10", "https://proxy/discord/api/v10"),
    ],
)
def test_the_address_of_the_api(monkeypatch: pytest.MonkeyPatch, url: str, base: str) -> None:
    monkeypatch.setattr(Route, "BASE", "")
    use_api(url)
    assert base == Route.BASE


def test_options_say_what_discord_can_check() -> None:
    (imagine,) = [command for command in command_definitions() if command["name"] == "imagine"]
    options = {option["name"]: option for option in imagine["options"]}
    assert options["prompt"]["required"] and options["prompt"]["max_length"] == 1000
    assert (options["count"]["min_value"], options["count"]["max_value"]) == (1, 16)
    assert {choice["value"] for choice in options["size"]["choices"]} >= {"512", "768x512", "1024x576"}
    assert [choice["value"] for choice in options["quality"]["choices"]] == ["draft", "final"]
    assert options["scheduler"]["choices"] and options["subject"]["autocomplete"]


def test_the_invite_link_asks_for_the_permissions_that_are_used_and_no_more() -> None:
    asks = parse_qs(urlsplit(invite_link(100)).query)
    assert asks["client_id"] == ["100"] and asks["scope"] == ["bot applications.commands"]
    permissions = discord_py.Permissions(int(asks["permissions"][0]))
    assert {name for name, granted in permissions if granted} == set(NAMES)


async def examined(place: Place) -> dict[str, Check]:
    """What the doctor says, by name."""
    checks: AsyncIterator[Check] = discord_setup.checks(settings_of(place.environment))
    return {check.name: check async for check in checks}


async def test_the_doctor_before_and_after_the_first_start(place: Place) -> None:
    before = await examined(place)
    assert before["Discord commands"].state == "warn" and "not registered" in before["Discord commands"].says
    async with place.bot():
        after = await examined(place)
    assert {check.state for check in after.values()} == {"ok"}
    assert invite_link(100) in after["Discord servers"].says


async def test_the_doctor_says_what_to_click(place: Place) -> None:
    place.discord.general.allows = ALL_PERMISSIONS & ~(1 << 15)
    assert "Kennel (Attach Files)" in (await examined(place))["Discord servers"].says
    place.discord.general.allows = ADMINISTRATOR
    assert (await examined(place))["Discord servers"].state == "ok"
    place.discord.guilds.clear()
    assert f"invite it: {invite_link(100)}" in (await examined(place))["Discord servers"].says
    place.discord.troubles.append(Trouble("GET /users/@me/guilds", 403, {"code": 50001, "message": "Missing Access"}))
    assert (await examined(place))["Discord"].state == "fail"
    place.environment["DISCORD_TOKEN"] = "wrong"
    (said,) = (await examined(place)).values()
    assert said.state == "fail" and "Reset Token" in said.says
    place.environment["DISCORD_API_URL"] = "http://127.0.0.1:1"
    assert "cannot be reached" in (await examined(place))["Discord"].says


async def test_a_new_server_is_greeted_once_where_the_bot_may_write(discord: Discord) -> None:
    closed, hall = (discord.add_channel(name, guild=OTHER_GUILD) for name in ("closed", "hall"))
    closed.denies = 1 << 11
    await asyncio.sleep(2.1)  # discord.py takes those that come at first for known ones
    for _ in range(2):
        await discord.gateway.join(OTHER_GUILD)
        await discord.gateway.dispatch("GUILD_DELETE", {"id": OTHER_GUILD}, OTHER_GUILD)
    (hello,) = await discord.until(lambda: discord.visible(hall))
    assert hello.text.startswith("Hello!") and "/dreambooth train" in hello.text
    other = await discord.slash("darkroom help")  # heard after both
    await discord.until(lambda: other.message.text)
    assert discord.visible(hall) == [hello] and not discord.visible(closed)


async def test_as_many_shards_as_discord_recommends(place: Place) -> None:
    discord = place.discord
    discord.shards, hall = 2, discord.add_channel("hall", guild=OTHER_GUILD)
    discord.guilds.append(OTHER_GUILD)
    async with place.bot():
        assert [session.shard for session in discord.gateway.connected] == [0, 1]
        for where in (discord.general, hall):
            await discord.slash("imagine", prompt="a dog", where=where)
        await place.hand.job(SPACE)
        await place.hand.job(f"discord:{OTHER_GUILD}")


def test_the_page_says_what_the_code_does() -> None:
    page = PAGE.read_text()
    assert f"permissions={NEEDED.value}" in page
    assert [name for name in NAMES.values() if name not in page] == []
    assert [name for name in SPOKEN if f"/{name}" not in page] == []
    assert TRAIN_MENU in page


def test_requests_are_held_against_discords_own_description() -> None:
    if not SPEC.exists():
        pytest.skip("DARKROOM_DISCORD_SPEC names no file: openapi.json of discord/discord-api-spec")
    route = contract().route("POST", "/channels/1/messages")
    assert route and list(contract().problems(route, {}, {"content": "a"})) == []
    assert list(contract().problems(route, {}, {"content": 7})) != []
    assert list(contract().problems(route, {}, {"contents": "a"})) != []

"""The set-up on Discord's side: the invite link, and what `darkroom doctor` looks at."""

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlencode

import aiohttp
import discord

from bot.connectors.discord.connector import BAD_TOKEN, use_api
from bot.connectors.discord.errors import error_class_of
from bot.connectors.discord.request import NEEDED, lacking
from bot.connectors.discord.slash_commands import Json, command_definitions
from bot.core.checks import Check
from storage.failures import Failure
from storage.settings.bot import BotSettings

AUTHORIZE = "https://discord.com/oauth2/authorize"
PORTAL = "https://discord.com/developers/applications"
# Discord Developer Policy of 8 July 2024, rule 21; its gateway documentation counts attachments as message content.
POLICY = (
    "Discord's Developer Policy says: “Do not use message content obtained through the APIs to train machine learning "
    "or AI models (including large language models) unless express permission is granted by Discord.” Attachments "
    "count as message content. Ask Discord for that permission, or have people upload photos on the web page "
    "(`darkroom web`); docs/discord.md says more"
)


def invite_link(application_id: int | str) -> str:
    """The link that brings the bot into a server, with the permissions that it needs and no more."""
    asks = {"client_id": application_id, "scope": "bot applications.commands", "permissions": NEEDED.value}
    return f"{AUTHORIZE}?{urlencode(asks)}"


async def checks(settings: BotSettings) -> AsyncIterator[Check]:
    """Look at token, commands, servers and permissions, and say what to click."""
    if not settings.discord_token:
        return
    use_api(settings.discord_api_url)
    try:
        # REST only: a gateway connection for a check would count against the bot's daily ones.
        async with discord.Client(intents=discord.Intents.none()) as client:
            await client.login(settings.discord_token.get_secret_value())
            assert client.user and client.application_id
            says = f"we are {client.user.name}; no privileged intents needed"
            yield Check(name="Discord token", state="ok", says=says)
            yield await _commands(client, client.application_id)
            yield await _servers(client, client.application_id)
            yield Check(name="Discord policy", state="ok", says=POLICY)
    except discord.LoginFailure:
        says = f"{BAD_TOKEN} In {PORTAL}: your application, Bot, Reset Token."
        yield Check(name="Discord token", state="fail", says=says)
    except discord.HTTPException as error:
        passes = " Try again later." if error_class_of(error).failure is Failure.OUTAGE else ""
        yield Check(name="Discord", state="fail", says=f"it answers {error}.{passes}")
    except (aiohttp.ClientError, OSError) as error:
        yield Check(name="Discord", state="fail", says=f"it cannot be reached: {error}")


async def _commands(client: discord.Client, application_id: int) -> Check:
    there: list[Any] = list(await client.http.get_global_commands(application_id))
    # By names alone: Discord adds fields of its own to what was registered.
    known, ours = {_shape(command) for command in there}, {_shape(command) for command in command_definitions()}
    if ours <= known:
        says = ", ".join(sorted(command["name"] for command in command_definitions()))
        return Check(name="Discord commands", state="ok", says=says)
    names = ", ".join(sorted(name for name, _ in ours - known))
    says = f"{names}: not registered as they are now; `darkroom discord` does it when it starts"
    return Check(name="Discord commands", state="warn", says=says)


def _shape(command: Json) -> tuple[str, tuple[Any, ...]]:
    """What a person sees of a command: its name, and the same of its options."""
    return command["name"], tuple(_shape(option) for option in command.get("options", []))


async def _servers(client: discord.Client, application_id: int) -> Check:
    link = invite_link(application_id)
    servers: list[Any] = list(await client.http.get_guilds(limit=200))
    if not servers:
        return Check(name="Discord servers", state="warn", says=f"the bot is in none; invite it: {link}")
    wanting = [
        f"{server['name']} ({', '.join(missing)})"
        for server in servers
        if (missing := lacking(discord.Permissions(int(server["permissions"]))))
    ]
    if wanting:
        says = f"permissions missing in {'; '.join(wanting)}: Server Settings, Roles, the bot's role; or open {link}"
        return Check(name="Discord servers", state="warn", says=says)
    return Check(name="Discord servers", state="ok", says=f"in {len(servers)}; invite it elsewhere: {link}")

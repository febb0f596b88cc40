"""Discord, with the real client on the local server."""

import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from bot.app import Darkroom
from bot.commands.registry import COMMANDS
from bot.connectors.discord.slash_commands import discord_name
from bot.photos.uploads import Upload
from tests.conftest import Stack
from tests.servers.discord import Discord, File, discord_server
from tests.servers.discord.world import Message
from tests.support.discord_bot import SPACE, Place, bot_environment, options, settings_of
from tests.support.front_ends import ADA, Front, Shown

MARK = re.compile(r"\\([\W_])|\u200b")  # escapes, which Discord does not show, and what nobody sees anyway


class OnDiscord(Front):
    """A server with Ada and Bob."""

    space = SPACE

    def __init__(self, discord: Discord) -> None:
        super().__init__()
        self.discord = discord

    async def _give(self, command: str, who: str, photos: Sequence[Upload], given: dict[str, Any]) -> None:
        """Type a slash command."""
        files = options([File(photo.name, photo.data, "image/png") for photo in photos])
        values = {f"{name}_": value for name, value in given.items()}  # some are words of Python's own
        await self.discord.slash(discord_name(COMMANDS[command]), who=who, **values, **files)

    async def _push(self, message: Shown, label: str, who: str) -> None:
        """Press a button, or choose from a menu."""
        await self.discord.press(self.discord.messages[message.id], label, who=who)

    async def screen(self, who: str) -> list[Shown]:
        """The channel, with what only this person sees in it."""
        assert not self.discord.violations, self.discord.violations
        there = [*self.discord.visible(self.discord.general), *self.discord.private(who)]
        return [self._shown(message) for message in sorted(there, key=lambda m: int(m.id))]

    def _shown(self, message: Message) -> Shown:
        people = {person.id: name for name, person in self.discord.people.items()}
        return Shown(
            message.id,
            MARK.sub(r"\1", message.text),
            tuple(message.labels),
            tuple(attachment["description"] or "" for attachment in message.attachments),
            tuple(people.get(rung, rung) for rung in message.pings),
        )

    async def decide(self, question: Shown, sure: bool) -> None:
        """Discord's questions are messages of their own."""
        await self._push(question, "Yes" if sure else "No", ADA)

    async def full(self, message: Shown, number: int) -> bytes:
        """A message with the one picture."""
        asked = await self.discord.press(self.discord.messages[message.id], f"Full {number}")
        (picture,) = await self.discord.until(lambda: asked.message.attachments)
        return self.discord.cdn.files[picture["id"]].data

    async def _vary(self, message: Shown, number: int) -> None:
        """There is a button for each."""
        await self._push(message, f"V{number}", ADA)

    async def sheet(self, message: Shown) -> bytes:
        """The only picture of the message."""
        (picture,) = self.discord.messages[message.id].attachments
        return self.discord.cdn.files[picture["id"]].data

    async def choose(self, message: Shown, step: int) -> None:
        """A button, and a question whether to."""
        asked = await self.discord.press(self.discord.messages[message.id], f"{step} steps")
        await self.discord.press(asked.message, "Yes")


@asynccontextmanager
async def on_discord(stack: Stack) -> AsyncIterator[OnDiscord]:
    """A bot on a Discord of its own."""
    async with discord_server() as discord:
        environment = bot_environment(discord, stack.environment)
        app = await Darkroom.open(settings_of(environment), stack.redis_url)
        async with Place(discord, app, environment).bot():
            await discord.until(lambda: discord.commands)
            yield OnDiscord(discord)
        await app.close()

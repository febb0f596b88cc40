"""Members of servers, looked up one by one: the member list is a privileged intent that we do without."""

import logging
from contextlib import suppress

import aiohttp
import discord

from bot.commands.departures import Members
from bot.connectors.discord.errors import UnknownMember, error_class_of
from bot.connectors.discord.render import plain

log = logging.getLogger(__name__)

FAILURES = (discord.HTTPException, discord.RateLimited, aiohttp.ClientError, OSError)


class DiscordMembers(Members):
    """Members of Discord's servers."""

    platform, where = "discord", "server"

    def __init__(self, client: discord.Client) -> None:
        self.client = client

    def spaces(self) -> list[str]:
        """The servers that the bot is in."""
        return [f"discord:{guild.id}" for guild in self.client.guilds]

    async def has_left(self, space: str, person: str) -> bool | None:
        """Whether a person, or the bot, has left a server."""
        platform, _, server = space.partition(":")
        if platform != "discord" or not server.isdecimal() or not self.client.is_ready():
            return None
        guild = self.client.get_guild(int(server))
        if not guild or not person:
            return guild is None
        try:
            # Always by REST: the cache knows nobody without the privileged intent.
            await guild.fetch_member(int(person))
        except discord.NotFound as error:
            return True if error_class_of(error).raises is UnknownMember else None
        except FAILURES as error:
            log.info("whether %s is in server %s is not known: %s", person, server, error)
            return None
        return False

    async def tell(self, person: str, sentence: str) -> None:
        """Send a private message; Discord takes none where no server is shared."""
        with suppress(*FAILURES):
            private = await self.client.create_dm(discord.Object(int(person)))
            await private.send(plain(sentence))

"""Acknowledgements: what goes before one, which must be there after three seconds, shares two; what one makes."""

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager

import aiohttp
import discord

from bot.connectors.discord.errors import is_done

log = logging.getLogger(__name__)

HEARD_S = 2.0  # the third is for the way to Discord
UNTIL = "acknowledge_until_s"  # in Interaction.extras, by the event loop's clock


def start_ack_deadline(interaction: discord.Interaction) -> None:
    """Note that an interaction is heard now."""
    interaction.extras[UNTIL] = asyncio.get_running_loop().time() + HEARD_S


def in_time(interaction: discord.Interaction) -> asyncio.Timeout:
    """A deadline for what has to be done before the interaction is acknowledged; raises TimeoutError."""
    return asyncio.timeout_at(interaction.extras[UNTIL])


@contextmanager
def ack_repeatedly(interaction: discord.Interaction) -> Iterator[None]:
    """Ignore what discord.py cannot read in the answer to a response that Discord has taken."""
    try:
        yield
    except (KeyError, TypeError, ValueError) as error:
        if not interaction.response.is_done():
            raise
        log.info("interaction %s is responded to, and little told of that: %r", interaction.id, error)


async def acknowledge(interaction: discord.Interaction, ephemeral: bool = False, thinking: bool = False) -> str:
    """Say that there will be an answer; return the id of its message where Discord tells it at once, else nothing."""
    result = None
    try:
        with ack_repeatedly(interaction):
            result = await interaction.response.defer(ephemeral=ephemeral, thinking=thinking)
    except discord.HTTPException as error:
        if not is_done(error):
            raise
    message = result.resource if result and isinstance(result.resource, discord.InteractionMessage) else None
    return str((result and result.message_id) or (message.id if message else ""))


async def original(interaction: discord.Interaction) -> str:
    """Ask for the id of the message that answers an acknowledged interaction; nothing if Discord does not tell."""
    try:
        return str((await interaction.original_response()).id)
    except (discord.DiscordException, aiohttp.ClientError, OSError, KeyError, TypeError, ValueError) as error:
        log.info("the message of interaction %s is not known: %r", interaction.id, error)
        return ""

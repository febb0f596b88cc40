"""What goes before an acknowledgement, which must be there three seconds after somebody did something, shares two."""

import asyncio

import discord

HEARD_S = 2.0  # the third is for the way to Discord
UNTIL = "acknowledge_until_s"  # in Interaction.extras, by the event loop's clock


def heard(interaction: discord.Interaction) -> None:
    """Note that an interaction is heard now."""
    interaction.extras[UNTIL] = asyncio.get_running_loop().time() + HEARD_S


def in_time(interaction: discord.Interaction) -> asyncio.Timeout:
    """Let what is done in this context last until the interaction must be acknowledged; raises TimeoutError."""
    return asyncio.timeout_at(interaction.extras[UNTIL])

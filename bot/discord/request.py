"""Who asks what, where, and whether the bot may answer there."""

import discord

from bot.messages import Request

# What the bot needs where it answers; the invite link asks for the same.
NEEDED = discord.Permissions(
    read_messages=True,
    send_messages=True,
    send_messages_in_threads=True,
    embed_links=True,
    attach_files=True,
    read_message_history=True,
)
NAMES = {
    "read_messages": "View Channel",  # as discord.py calls it
    "send_messages": "Send Messages",
    "send_messages_in_threads": "Send Messages in Threads",
    "embed_links": "Embed Links",
    "attach_files": "Attach Files",
    "read_message_history": "Read Message History",
}


def request_of(interaction: discord.Interaction, command: str, arguments: dict[str, str]) -> Request:
    """Say an interaction as a request."""
    user = interaction.user
    allowed = interaction.permissions
    here = str(interaction.channel_id)
    thread = interaction.channel if isinstance(interaction.channel, discord.Thread) else None
    return Request(
        space=f"discord:{interaction.guild_id}" if interaction.guild_id else private_space(user.id),
        user=str(user.id),
        command=command,
        arguments=_meant(arguments, interaction.guild_id),
        channel=str(thread.parent_id) if thread else here,
        thread=here if thread else "",
        # `roles` would leave out those of which the gateway has not told yet.
        groups=tuple(map(str, user._roles)) if isinstance(user, discord.Member) else (),
        moderator=allowed.manage_messages or allowed.administrator,
        asks=True,
        sure=True,  # Hearing asks, with a message that the answer takes the place of
    )


def _meant(arguments: dict[str, str], guild: int | None) -> dict[str, str]:
    """The arguments with the role @everyone, whose id is the server's, as what it is: the whole space."""
    if arguments.get("group") != str(guild):
        return arguments
    return {**{name: value for name, value in arguments.items() if name != "group"}, "with": "space"}


def private_space(user: int | str) -> str:
    """The space of what a person asks in private messages."""
    return f"discord:dm:{user}"


def lacking(has: discord.Permissions, in_thread: bool | None = None) -> list[str]:
    """The permissions that the bot lacks, as Discord names them; `in_thread` tells which way of sending counts."""
    if has.administrator:  # which is all of them
        return []
    unneeded = {True: "send_messages", False: "send_messages_in_threads", None: ""}[in_thread]
    return [NAMES[name] for name, needed in NEEDED if needed and name != unneeded and not getattr(has, name)]


def closed_to(interaction: discord.Interaction) -> str:
    """Say what must be allowed before the bot can work where this comes from; empty if it can."""
    has = interaction.app_permissions
    if not interaction.guild_id or not has.value:
        return ""
    missing = lacking(has, isinstance(interaction.channel, discord.Thread))
    return (
        f"I may not work in this channel. Someone who manages it can allow me: {', '.join(missing)}." if missing else ""
    )

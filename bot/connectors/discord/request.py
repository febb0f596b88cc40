"""Requests from interactions: person, place and rights, and whether the bot may answer there; names of places."""

import discord

from bot.core.messages import PlaceMention, Request
from bot.core.policy import Moderates

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
    here = str(interaction.channel_id)
    thread = interaction.channel if isinstance(interaction.channel, discord.Thread) else None
    return Request(
        space=_space(interaction),
        user=str(user.id),
        command=command,
        arguments=_with_everyone_as_space(arguments, interaction.guild_id),
        channel=str(thread.parent_id) if thread else here,
        thread=here if thread else "",
        secluded=secluded_place(interaction.guild, interaction.channel, interaction.channel_id)
        if interaction.guild_id
        else "",
        # `roles` would leave out those of which the gateway has not told yet.
        groups=tuple(map(str, user._roles)) if isinstance(user, discord.Member) else (),
        moderates=_moderates(interaction),
        confirmed=interaction.type is discord.InteractionType.component,  # InteractionHandler has each button ask
    )


def _space(interaction: discord.Interaction) -> str:
    """The server; or the conversation, where there is none."""
    if interaction.guild_id:
        return f"discord:{interaction.guild_id}"
    group = interaction.context.private_channel and isinstance(interaction.channel, discord.GroupChannel)
    return private_space(interaction.channel_id if group and interaction.channel_id else interaction.user.id)


def _moderates(interaction: discord.Interaction) -> Moderates:
    """Where the person may moderate: rights that an overwrite gives in one channel count in that channel alone.

    An interaction tells permissions with the channel's overwrites; those of the server follow from roles. Who is denied
    the right in this channel does not moderate from it. No overwrite can make an administrator.
    """
    guild, member, here = interaction.guild, interaction.user, interaction.permissions
    if here.administrator:
        return "space"
    if not here.manage_messages:
        return ""
    if guild and isinstance(member, discord.Member):
        roles = [role for role in map(guild.get_role, (guild.id, *member._roles)) if role]
        everywhere = any(role.permissions.manage_messages or role.permissions.administrator for role in roles)
        if everywhere or guild.owner_id == member.id:
            return "space"
    return "channel"


def secluded_place(guild: discord.Guild | None, channel: object, channel_id: int | None) -> str:
    """The private thread or channel of a server that something comes from; empty where the whole server may read.

    Where the gateway has not told of the channel's permissions, it is taken for private.
    """
    if isinstance(channel, discord.Thread) and channel.is_private():
        return str(channel.id)
    here = channel.parent_id if isinstance(channel, discord.Thread) else channel_id
    known = guild.get_channel(here) if guild and here else None
    everyone = guild.get_role(guild.id) if guild else None
    if known and everyone and known.permissions_for(everyone).view_channel:
        return ""
    return str(here)


def _with_everyone_as_space(arguments: dict[str, str], guild: int | None) -> dict[str, str]:
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
    """Say why the bot cannot work where this comes from, and what must be allowed; empty if it can."""
    if not interaction.guild_id:
        return ""
    has, thread = interaction.app_permissions, interaction.channel
    in_thread = isinstance(thread, discord.Thread)
    if missing := lacking(has, in_thread):
        return f"I lack permissions in this channel. Someone who manages it can grant them: {', '.join(missing)}."
    if isinstance(thread, discord.Thread) and thread.locked and not has.manage_threads and not has.administrator:
        return "This thread is locked, so I cannot write in it. Ask me in another one or in a channel."
    return ""


def place_name(client: discord.Client, space: str, place: PlaceMention | None) -> str:
    """A mention of a channel or role; empty while the gateway has not sent the server (yet)."""
    if place and place.kind == "person":
        return f"<@{place.id}>"
    server = space.removeprefix("discord:")
    # Only from the cache: a message must not wait for a request about a name.
    guild = client.get_guild(int(server)) if place and server.isdecimal() else None
    if not place or not guild or not place.id.isdecimal():
        return ""
    if place.kind == "group":
        return f"<@&{place.id}>" if guild.get_role(int(place.id)) else "a role that is gone"
    known = guild.get_channel_or_thread(int(place.id))
    return f"<#{place.id}>" if known else "a channel that is gone or hidden from me"

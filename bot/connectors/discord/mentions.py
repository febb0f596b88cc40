"""What channels and roles are called in messages: mentions that Discord shows by name, or that they are gone."""

import discord

from bot.core.messages import PlaceMention


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

"""What exists in this Discord: people, channels, messages, interactions, files."""

import itertools
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

APPLICATION = "100"
BOT = "100"
GUILD = "7000"
EPHEMERAL, LOADING = 64, 128  # flags of a message
ACK_WITHIN_S = 3.0
EPOCH_MS = 1_420_070_400_000
ADMINISTRATOR, MANAGE_MESSAGES = 1 << 3, 1 << 13
ALL_PERMISSIONS = ((1 << 50) - 1) & ~ADMINISTRATOR
_counter = itertools.count()

Json = dict[str, Any]


def snowflake() -> str:
    """A new id, later ones larger."""
    return str(((int(time.time() * 1000) - EPOCH_MS) << 22) + next(_counter))


@dataclass
class Person:
    """Someone who uses Discord."""

    id: str
    name: str
    roles: list[str] = field(default_factory=list)
    permissions: int = 2048  # Send Messages: no moderator
    left: bool = False  # the server

    def user(self) -> Json:
        """As Discord describes a user."""
        return {"id": self.id, "username": self.name, "global_name": None, "avatar": None, "discriminator": "0"}

    def member(self) -> Json:
        """As Discord describes a member of a server, in an interaction."""
        return {
            "user": self.user(),
            "roles": self.roles,
            "permissions": str(self.permissions),
            "joined_at": "2024-01-01T00:00:00+00:00",
            "deaf": False,
            "mute": False,
            "flags": 0,
        }


@dataclass
class Channel:
    """A channel of the server, or a private one."""

    id: str
    name: str
    guild: str | None = GUILD
    recipient: Person | None = None
    locked: bool = False  # of a thread
    parent: str = ""  # the channel of which this is a thread
    refuses: int = 0  # error code for the bot: 50001 not seen, 50013 not allowed; 10003 deleted
    denies: int = 0  # permissions that everybody lacks here
    allows: int = ALL_PERMISSIONS  # what interactions say of the bot's permissions

    def json(self) -> Json:
        """As Discord describes it."""
        if self.recipient:
            return {
                "id": self.id,
                "type": 1,
                "recipients": [self.recipient.user()],
                "last_message_id": None,
                "flags": 0,
            }
        if self.parent:
            since = {"archived": False, "auto_archive_duration": 1440, "archive_timestamp": _now()}
            since["locked"] = self.locked
            return {
                "id": self.id, "type": 11, "name": self.name, "parent_id": self.parent, "guild_id": self.guild,
                "owner_id": BOT, "message_count": 1, "member_count": 1, "rate_limit_per_user": 0, "flags": 0,
                "last_message_id": None, "thread_metadata": since, "permissions": str(ALL_PERMISSIONS),
            }  # fmt: skip
        denied = {"id": self.guild, "type": 0, "allow": "0", "deny": str(self.denies)}
        return {
            "id": self.id, "type": 0, "name": self.name, "position": 0, "permission_overwrites": [denied],
            "nsfw": False, "parent_id": None, "guild_id": self.guild, "topic": None, "last_message_id": None,
            "rate_limit_per_user": 0, "permissions": str(ALL_PERMISSIONS), "flags": 0,
        }  # fmt: skip


@dataclass
class Message:
    """A message, with everything that was said in it so far."""

    channel: Channel
    author: Json
    id: str = field(default_factory=snowflake)
    content: str = ""
    embeds: list[Json] = field(default_factory=list)
    components: list[Json] = field(default_factory=list)
    attachments: list[Json] = field(default_factory=list)
    flags: int = 0
    nonce: str = ""
    reference: Json | None = None
    origin: Json | None = None  # interaction_metadata
    pings: list[str] = field(default_factory=list)  # ids of whom it rang
    forwards: list["Message"] = field(default_factory=list)
    stickers: list[str] = field(default_factory=list)  # their names
    for_person: str = ""  # of an ephemeral message: the only one who sees it
    edits: int = 0
    deleted: bool = False

    @property
    def text(self) -> str:
        """Everything that a person reads in it."""
        parts = [self.content]
        for embed in self.embeds:
            parts += [
                embed.get("title") or "",
                embed.get("description") or "",
                (embed.get("footer") or {}).get("text", ""),
            ]
            parts += [f"{f['name']}: {f['value']}" for f in embed.get("fields") or []]
        return "\n".join(part for part in parts if part)

    @property
    def controls(self) -> list[Json]:
        """Its buttons and menus."""
        return [control for row in self.components for control in row["components"]]

    @property
    def labels(self) -> list[str]:
        """What its buttons say."""
        return [control["label"] for control in self.controls if control["type"] == 2]

    @property
    def ephemeral(self) -> bool:
        """Whether only one person sees it."""
        return bool(self.flags & EPHEMERAL)

    @property
    def loading(self) -> bool:
        """Whether it still says that the bot is thinking."""
        return bool(self.flags & LOADING)

    def json(self) -> Json:
        """As Discord describes it."""
        described: Json = {
            "id": self.id, "channel_id": self.channel.id, "author": self.author, "content": self.content,
            "timestamp": _now(), "edited_timestamp": _now() if self.edits else None, "tts": False,
            "mention_everyone": False, "mentions": [], "mention_roles": [], "attachments": self.attachments,
            "embeds": self.embeds, "pinned": False, "type": 0, "flags": self.flags, "components": self.components,
        }  # fmt: skip
        if self.stickers:
            described["sticker_items"] = [{"id": "1", "name": name, "format_type": 1} for name in self.stickers]
        if self.forwards:
            told = ("type", "content", "mentions", "mention_roles", "attachments", "embeds", "timestamp", "flags")
            told += ("edited_timestamp", "components", "sticker_items")
            forwarded = [{k: v for k, v in m.json().items() if k in told} for m in self.forwards]
            described["message_snapshots"] = [{"message": message} for message in forwarded]
        if self.origin:
            described["interaction_metadata"] = self.origin
        if self.reference:
            described |= {"message_reference": self.reference, "type": 19}
        return described


@dataclass
class Interaction:
    """Something that a person did with the bot, and what the bot made of it."""

    person: Person
    channel: Channel
    kind: int
    data: Json
    source: Message | None = None  # whose button was pressed
    id: str = field(default_factory=snowflake)
    token: str = field(default_factory=lambda: f"token-{snowflake()}")
    sent_s: float = field(default_factory=time.monotonic)
    acknowledged_s: float | None = None  # when, by the same clock
    answer: int | None = None  # type of the first response
    response: Json = field(default_factory=dict)  # its data: choices, a form
    message: Message | None = None  # what @original means
    followups: list[Message] = field(default_factory=list)
    expired: bool = False

    @property
    def took_s(self) -> float:
        """How long the acknowledgement took."""
        assert self.acknowledged_s is not None, "not acknowledged"
        return self.acknowledged_s - self.sent_s

    def json(self) -> Json:
        """As the gateway brings it."""
        described: Json = {
            "id": self.id, "application_id": APPLICATION, "type": self.kind, "data": self.data, "token": self.token,
            "version": 1, "channel_id": self.channel.id, "channel": self.channel.json(), "locale": "en-US",
            "app_permissions": str(self.channel.allows), "entitlements": [],
            "authorizing_integration_owners": {"0": self.channel.guild or "0"},
            "context": 0 if self.channel.guild else 1, "attachment_size_limit": 10 * 2**20,
        }  # fmt: skip
        if self.channel.guild:
            described |= {
                "guild_id": self.channel.guild,
                "guild": {"id": self.channel.guild, "locale": "en-US", "features": []},
                "guild_locale": "en-US",
                "member": self.person.member(),
            }
        else:
            described["user"] = self.person.user()
        if self.source:
            described["message"] = self.source.json()
        return described


def _now() -> str:
    return datetime.now(UTC).isoformat()

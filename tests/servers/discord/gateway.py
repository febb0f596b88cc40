"""The gateway: sessions that are identified or resumed, heartbeats, and events in order."""

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aiohttp import WSMsgType, web

from tests.servers.discord.faults import Trouble
from tests.servers.discord.rest import APP, BOT_USER
from tests.servers.discord.world import ALL_PERMISSIONS, BOT, GUILD, MANAGE_MESSAGES, Json, Person, snowflake

if TYPE_CHECKING:
    from tests.servers.discord.server import Server

DISPATCH, HEARTBEAT, IDENTIFY, PRESENCE, RESUME, RECONNECT, INVALID, HELLO, BEATEN = 0, 1, 2, 3, 6, 7, 9, 10, 11
GUILDS_INTENT, GUILD_MESSAGES_INTENT, DIRECT_MESSAGES_INTENT, CONTENT_INTENT = 1, 1 << 9, 1 << 12, 1 << 15


@dataclass
class Session:
    """What one shard heard so far; survives its connection."""

    shard: int
    intents: int
    id: str = field(default_factory=snowflake)
    heard: list[Json] = field(default_factory=list)
    socket: web.WebSocketResponse | None = None

    async def send(self, event: str, data: Json) -> None:
        """Dispatch an event now, or when the session is resumed."""
        self.heard.append({"op": DISPATCH, "t": event, "s": len(self.heard) + 1, "d": data})
        if self.socket and not self.socket.closed:
            await self.socket.send_str(json.dumps(self.heard[-1]))


class Gateway:
    """All sessions of the bot."""

    def __init__(self, server: "Server") -> None:
        self.server = server
        self.url = ""
        self.sessions: dict[str, Session] = {}
        self.resumed = self.beats = 0
        self.turned_away: list[Trouble] = []  # answers to the next connections, in place of one

    @property
    def connected(self) -> list[Session]:
        """Sessions with a living connection."""
        return [s for s in self.sessions.values() if s.socket and not s.socket.closed]

    async def dispatch(self, event: str, data: Json, guild: str | None) -> None:
        """Bring an event to the newest session of the shard that it belongs to."""
        shard = (int(guild) >> 22) % self.server.shards if guild else 0
        for session in reversed(self.sessions.values()):
            if session.shard == shard:
                return await session.send(event, data)
        raise AssertionError("the bot is not connected")

    async def message(self, data: Json, guild: str | None) -> None:
        """Bring a message to whoever asked for such; its text only if it mentions the bot, or is private."""
        wanted = GUILD_MESSAGES_INTENT if guild else DIRECT_MESSAGES_INTENT
        is_for_bot = not guild or any(user["id"] == BOT for user in data["mentions"])
        shard = (int(guild) >> 22) % self.server.shards if guild else 0
        for session in self.sessions.values():
            if session.shard == shard and session.intents & wanted:
                unread = {} if is_for_bot or session.intents & CONTENT_INTENT else {"content": "", "attachments": []}
                await session.send("MESSAGE_CREATE", {**data, **unread})

    async def close(self, code: int = 1001) -> None:
        """Close every connection, as Discord does when it restarts a node."""
        for session in self.connected:
            assert session.socket
            await session.socket.close(code=code)

    async def forget(self) -> None:
        """Close every connection and lose the sessions: who resumes must identify anew."""
        gone = self.connected
        self.sessions.clear()
        for session in gone:
            assert session.socket
            await session.socket.close(code=1001)

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Speak with one connection until it ends."""
        if self.turned_away:
            return self.turned_away.pop(0).response()
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        if request.query.get("v") != "10" or request.query.get("encoding") != "json":
            self.server.violation(f"gateway asked for {dict(request.query)}")
        await socket.send_str(json.dumps({"op": HELLO, "d": {"heartbeat_interval": 20_000}}))
        async for message in socket:
            if message.type is WSMsgType.TEXT:
                await self._hear(socket, json.loads(message.data))
        return socket

    async def _hear(self, socket: web.WebSocketResponse, said: Json) -> None:
        op, data = said["op"], said.get("d")
        if op == HEARTBEAT:
            self.beats += 1
            await socket.send_str(json.dumps({"op": BEATEN}))
        elif op in (IDENTIFY, RESUME) and data["token"] != self.server.token:
            await socket.close(code=4004, message=b"Authentication failed.")
        elif op == IDENTIFY:
            await self._identify(socket, data)
        elif op == RESUME:
            await self._resume(socket, data)
        elif op != PRESENCE:
            self.server.violation(f"gateway operation {op}")

    async def _identify(self, socket: web.WebSocketResponse, data: Json) -> None:
        shard, of = data.get("shard", [0, 1])
        if of != self.server.shards:
            self.server.violation(f"{of} shards where {self.server.shards} are recommended")
        session = Session(shard, data["intents"], socket=socket)
        self.sessions[session.id] = session
        guilds = [g for g in self.server.guilds if (int(g) >> 22) % of == shard]
        ready = {
            "v": 10, "user": BOT_USER, "guilds": [{"id": g, "unavailable": True} for g in guilds],
            "session_id": session.id, "resume_gateway_url": self.url, "shard": [shard, of],
            "application": {"id": APP["id"], "flags": 0},
        }  # fmt: skip
        await session.send("READY", ready)
        for guild in guilds if session.intents & GUILDS_INTENT else []:
            await session.send("GUILD_CREATE", self.guild(guild))

    async def _resume(self, socket: web.WebSocketResponse, data: Json) -> None:
        session = self.sessions.get(data["session_id"])
        if session is None:
            await socket.send_str(json.dumps({"op": INVALID, "d": False}))
            return
        session.socket = socket
        for event in session.heard[data["seq"] :]:
            await socket.send_str(json.dumps(event))
        self.resumed += 1
        await session.send("RESUMED", {})

    async def join(self, guild: str) -> None:
        """Bring the bot into a server, as somebody does who opens the invite link."""
        described = self.guild(guild)
        del described["unavailable"]  # which is said of a server that was out of reach
        await self.dispatch("GUILD_CREATE", described, guild)

    def guild(self, guild: str = GUILD) -> Json:
        """As Discord describes a server to a bot that is in it."""
        server = self.server
        everyone = _role(guild, "@everyone", 0, ALL_PERMISSIONS & ~MANAGE_MESSAGES)
        roles = {role: 0 for person in server.people.values() for role in person.roles} | server.roles
        bot = Person(BOT, "darkroom").member() | {"user": BOT_USER}
        places = [c for c in server.channels.values() if c.guild == guild]
        channels = [c for c in places if not c.parent]
        return {
            "id": guild, "name": "Kennel", "owner_id": server.people["ada"].id, "icon": None, "splash": None,
            "discovery_splash": None, "afk_channel_id": None, "afk_timeout": 300, "verification_level": 0,
            "default_message_notifications": 0, "explicit_content_filter": 0, "emojis": [], "stickers": [],
            "features": [], "mfa_level": 0, "application_id": None, "system_channel_flags": 0,
            "system_channel_id": channels[0].id if channels else None, "rules_channel_id": None,
            "description": None, "banner": None, "premium_tier": 0, "preferred_locale": "en-US", "nsfw_level": 0,
            "public_updates_channel_id": None, "premium_progress_bar_enabled": False, "vanity_url_code": None,
            "joined_at": "2024-01-01T00:00:00Z",
            "large": False, "member_count": 3, "voice_states": [], "members": [bot], "presences": [],
            "stage_instances": [], "guild_scheduled_events": [], "unavailable": False,
            "roles": [everyone, *(_role(role, f"role {role}", 1, roles[role]) for role in sorted(roles))],
            "channels": [c.json() for c in channels],
            "threads": [c.json() for c in places if c.parent],
        }  # fmt: skip


def _role(role: str, name: str, position: int, permissions: int) -> Json:
    return {
        "id": role, "name": name, "color": 0, "hoist": False, "position": position, "managed": False,
        "permissions": str(permissions), "mentionable": False, "flags": 0, "icon": None, "unicode_emoji": None,
    }  # fmt: skip

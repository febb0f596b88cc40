"""The REST API, one method for each route."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aiohttp import web

from tests.servers.discord.contract import Route
from tests.servers.discord.faults import Refusal, answered
from tests.servers.discord.files import File
from tests.servers.discord.messages import say
from tests.servers.discord.world import (
    APPLICATION,
    BOT,
    EPHEMERAL,
    LOADING,
    Channel,
    Interaction,
    Json,
    Message,
    snowflake,
)

if TYPE_CHECKING:
    from tests.servers.discord.server import Server

DEFERRED_MESSAGE, DEFERRED_UPDATE, UPDATE, CHOICES, FORM = 5, 6, 7, 8, 9
BOT_USER = {"id": BOT, "username": "darkroom", "discriminator": "0", "avatar": None, "global_name": None, "bot": True}
WEBHOOK = "/webhooks/{webhook_id}/{webhook_token}"
MESSAGES = "/channels/{channel_id}/messages"
ONE_MESSAGE = MESSAGES + "/{message_id}"
APP = {"id": APPLICATION, "name": "Darkroom", "icon": None, "description": "", "bot_public": True,
       "bot_require_code_grant": False, "verify_key": "0", "flags": 0, "owner": BOT_USER, "team": None,
       "bot": BOT_USER, "summary": ""}  # fmt: skip


@dataclass
class Call:
    """One request: its route, its query, its body and its files."""

    route: Route
    query: Json
    body: Any = None
    files: Sequence[File] = field(default_factory=tuple)

    def __getitem__(self, part: str) -> str:
        return self.route.parts[part]


class Rest:
    """Answers calls out of the world of a server."""

    def __init__(self, server: "Server") -> None:
        self.server = server
        self.routes: dict[str, Callable[[Call], web.Response]] = {
            "GET /users/@me": lambda call: answered(BOT_USER),
            "GET /users/@me/guilds": self.guilds,
            "GET /oauth2/applications/@me": lambda call: answered(APP),
            "GET /applications/@me": lambda call: answered(APP),
            "GET /gateway/bot": self.gateway,
            "GET /applications/{application_id}/commands": lambda call: answered(server.commands),
            "PUT /applications/{application_id}/commands": self.put_commands,
            "POST /interactions/{interaction_id}/{interaction_token}/callback": self.respond,
            f"POST {WEBHOOK}": self.follow_up,
            f"GET {WEBHOOK}/messages/@original": lambda call: answered(self.original(call).json()),
            f"PATCH {WEBHOOK}/messages/@original": self.edit_original,
            f"DELETE {WEBHOOK}/messages/@original": self.delete_original,
            "POST /users/@me/channels": self.open_dm,
            "GET /guilds/{guild_id}/members/{user_id}": self.member,
            "GET /channels/{channel_id}": lambda call: answered(self.channel(call).json()),
            f"GET {MESSAGES}": self.messages,
            f"POST {MESSAGES}": self.create,
            f"GET {ONE_MESSAGE}": lambda call: answered(self.message(call).json()),
            f"PATCH {ONE_MESSAGE}": self.edit,
            f"DELETE {ONE_MESSAGE}": self.delete,
        }

    def answer(self, call: Call) -> web.Response:
        """Answer a call; raises Refusal, and LookupError for a route that has no method here."""
        return self.routes[call.route.name](call)

    # Set-up

    def gateway(self, call: Call) -> web.Response:
        self.server.used_dead.clear()  # another process may have begun, which has to learn what is dead
        limits = {"total": 1000, "remaining": 999, "reset_after": 0, "max_concurrency": self.server.shards}
        return answered({"url": self.server.gateway.url, "shards": self.server.shards, "session_start_limit": limits})

    def guilds(self, call: Call) -> web.Response:
        may = str(self.server.general.allows)
        return answered([{"id": g, "name": "Kennel", "permissions": may} for g in self.server.guilds])

    def put_commands(self, call: Call) -> web.Response:
        self.server.commands = [
            {"id": snowflake(), "application_id": APPLICATION, "version": snowflake(), "type": 1, **command}
            for command in call.body
        ]
        self.server.syncs += 1
        return answered(self.server.commands)

    # Interactions

    def respond(self, call: Call) -> web.Response:
        interaction = self.server.interactions.get(call["interaction_token"])
        if interaction is None or interaction.id != call["interaction_id"]:
            raise Refusal(404, 10062, "Unknown interaction")
        self.server.acknowledge(interaction, call.body["type"])
        interaction.response = call.body.get("data") or {}
        self._begin(interaction, call)
        untold = self.server.untold
        if call.query.get("with_response", "0") in ("0", "false") or "body" in untold:
            return web.Response(status=204)
        message = interaction.message
        about: Json = {"id": interaction.id, "type": interaction.kind}
        resource: Json = {"type": interaction.answer}
        if message:
            about |= {"response_message_id": message.id, "response_message_loading": message.loading}
            about["response_message_ephemeral"] = message.ephemeral
            resource["message"] = message.json()
        if "id" in untold:
            about.pop("response_message_id", None)
        return answered({"interaction": about, **({} if "resource" in untold else {"resource": resource})})

    def _begin(self, interaction: Interaction, call: Call) -> None:
        """Give an interaction the message that its first response makes or means."""
        answer, data = interaction.answer, interaction.response
        allowed = {2: {4, 5, 9}, 3: {4, 5, 6, 7, 9}, 4: {8}, 5: {4, 5, 6, 7}}[interaction.kind]
        if answer not in allowed or (answer in (DEFERRED_UPDATE, UPDATE) and not interaction.source):
            raise Refusal(400, 50035, f"Invalid Form Body: type {answer} for an interaction of type {interaction.kind}")
        if answer in (DEFERRED_UPDATE, UPDATE):
            interaction.message = interaction.source
        elif answer not in (CHOICES, FORM):
            interaction.message = self._new(interaction, data)
        if interaction.message and answer not in (DEFERRED_MESSAGE, DEFERRED_UPDATE):
            say(interaction.message, data, call.files, self.server.cdn)
            interaction.message.edits += answer == UPDATE

    def _new(self, interaction: Interaction, data: Json) -> Message:
        flags = data.get("flags") or 0
        origin = {
            "id": interaction.id, "type": interaction.kind, "user": interaction.person.user(),
            "authorizing_integration_owners": {},
        }  # fmt: skip
        if interaction.source:
            origin["interacted_message_id"] = interaction.source.id
        message = self.server.add(Message(interaction.channel, BOT_USER, flags=flags & EPHEMERAL, origin=origin))
        message.flags |= LOADING if interaction.answer == DEFERRED_MESSAGE else 0
        message.for_person = interaction.person.id if message.ephemeral else ""
        return message

    def follow_up(self, call: Call) -> web.Response:
        interaction = self.server.by_token(call["webhook_token"])
        if interaction.channel.refuses == 10003:
            raise Refusal(404, 10003, "Unknown Channel")
        first = interaction.message
        if first and first.loading and not first.deleted:
            say(first, call.body, call.files, self.server.cdn)
            return answered(first.json())
        message = self._new(interaction, call.body)
        message.flags &= ~LOADING
        interaction.followups.append(message)
        say(message, call.body, call.files, self.server.cdn)
        return answered(message.json())

    def original(self, call: Call) -> Message:
        message = self.server.by_token(call["webhook_token"]).message
        if message and message.channel.refuses == 10003:
            raise Refusal(404, 10003, "Unknown Channel")
        if message is None or message.deleted:
            raise Refusal(404, 10008, "Unknown Message")
        return message

    def edit_original(self, call: Call) -> web.Response:
        return self._edited(self.original(call), call)

    def delete_original(self, call: Call) -> web.Response:
        self.original(call).deleted = True
        return web.Response(status=204)

    # Channels

    def channel(self, call: Call) -> Channel:
        channel = self.server.channels.get(call["channel_id"])
        if channel is None or channel.refuses == 10003:
            raise Refusal(404, 10003, "Unknown Channel")
        if channel.refuses:
            says = {50001: "Missing Access", 50013: "Missing Permissions", 50007: "Cannot send messages to this user"}
            raise Refusal(403, channel.refuses, says.get(channel.refuses, "It is refused"))
        return channel

    def message(self, call: Call) -> Message:
        channel = self.channel(call)
        message = self.server.messages.get(call["message_id"])
        if message is None or message.deleted or message.ephemeral or message.channel is not channel:
            raise Refusal(404, 10008, "Unknown Message")
        return message

    def messages(self, call: Call) -> web.Response:
        channel = self.channel(call)
        after, before = int(call.query.get("after", 0)), int(call.query.get("before", 1 << 63))
        there = [m for m in self.server.visible(channel) if after < int(m.id) < before]
        # With `after`, Discord gives the oldest; newest first all the same.
        limit = int(call.query.get("limit", 50))
        some = there[:limit] if "after" in call.query else there[-limit:]
        return answered([m.json() for m in reversed(some)])

    def create(self, call: Call) -> web.Response:
        channel, body = self.channel(call), call.body
        nonce = str(body.get("nonce") or "")
        for known in self.server.visible(channel):
            if nonce and body.get("enforce_nonce") and known.nonce == nonce:
                return answered(known.json())
        message = Message(channel, BOT_USER, nonce=nonce, reference=self._reference(channel, body))
        say(message, body, call.files, self.server.cdn)
        return answered({**self.server.add(message).json(), "nonce": nonce})

    def _reference(self, channel: Channel, body: Json) -> Json | None:
        wanted = body.get("message_reference")
        if not wanted:
            return None
        if any(m.id == str(wanted["message_id"]) for m in self.server.visible(channel)):
            return {"channel_id": channel.id, "message_id": str(wanted["message_id"]), "type": 0}
        if wanted.get("fail_if_not_exists", True):
            raise Refusal(400, 50035, "Invalid Form Body: message_reference: Unknown message")
        return None

    def edit(self, call: Call) -> web.Response:
        message = self.message(call)
        if message.author["id"] != BOT:
            raise Refusal(403, 50005, "Cannot edit a message authored by another user")
        return self._edited(message, call)

    def _edited(self, message: Message, call: Call) -> web.Response:
        say(message, call.body, call.files, self.server.cdn)
        message.edits += 1
        return answered(message.json())

    def delete(self, call: Call) -> web.Response:
        self.message(call).deleted = True
        return web.Response(status=204)

    def member(self, call: Call) -> web.Response:
        there = [p for p in self.server.people.values() if p.id == call["user_id"] and not p.left]
        if not there:
            raise Refusal(404, 10007, "Unknown Member")
        return answered(there[0].member())

    def open_dm(self, call: Call) -> web.Response:
        return answered(self.server.dm(str(call.body["recipient_id"])).json())

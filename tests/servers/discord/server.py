"""The server: takes every request, holds it against Discord's description, notes what a real one would not take."""

import asyncio
import json
import mimetypes
import re
import time
from dataclasses import dataclass
from typing import Any

from aiohttp import BodyPartReader, web

from tests.servers.discord.contract import contract
from tests.servers.discord.faults import Refusal, Trouble
from tests.servers.discord.files import Cdn, File
from tests.servers.discord.gateway import Gateway
from tests.servers.discord.rest import Call, Rest
from tests.servers.discord.world import ACK_WITHIN_S, GUILD, Channel, Interaction, Message, Person, snowflake

PREFIX = "/api/v10"
TOKEN = "MTAw.a-token.kept-out-of-every-message"
BY_TOKEN_IN_PATH = ("POST /interactions/", "POST /webhooks/", "GET /webhooks/", "PATCH /webhooks/", "DELETE /webhooks/")


@dataclass(frozen=True)
class Seen:
    """One request, for tests that count."""

    name: str
    path: str
    files: int
    status: int
    at_s: float


class Server:
    """A Discord of one server with a few people and channels."""

    def __init__(self, shards: int = 1) -> None:
        self.shards, self.token = shards, TOKEN
        self.people = {name: Person(snowflake(), name) for name in ("ada", "bob")}
        self.guilds = [GUILD]
        self.roles: dict[str, int] = {}  # permissions by id, beside the roles that people have, which give none
        self.channels: dict[str, Channel] = {}
        self.general, self.pictures = self.add_channel("general"), self.add_channel("pictures")
        self.messages: dict[str, Message] = {}
        self.interactions: dict[str, Interaction] = {}  # by token
        self.commands: list[dict[str, Any]] = []
        self.syncs = 0
        self.cdn, self.gateway, self.rest = Cdn(), Gateway(self), Rest(self)
        self.troubles: list[Trouble] = []
        self.mute = ""  # requests on such a route (regular expression) are carried out, and never answered
        self.untold: set[str] = set()  # parts of the answer to an acknowledgement that it lacks; "body": all
        self.seen: list[Seen] = []
        self.violations: list[str] = []
        self.used_dead: set[str] = set()

    async def start(self) -> None:
        """Listen on a free port."""
        app = web.Application(client_max_size=64 * 2**20)
        app.router.add_get("/gateway/", self.gateway.serve)
        app.router.add_get("/attachments/{channel}/{attachment}/{name}", self.cdn.serve)
        app.router.add_route("*", "/{path:.*}", self._request)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = self.cdn.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        self.gateway.url = f"{self.url.replace('http', 'ws')}/gateway/"

    async def stop(self) -> None:
        """Stop listening."""
        await self._runner.cleanup()

    @property
    def api_url(self) -> str:
        """What `DISCORD_API_URL` is to say."""
        return self.url + PREFIX

    def check(self) -> None:
        """Raise AssertionError if the bot did anything that Discord does not take, or left somebody unanswered."""
        silent = [i for i in self.interactions.values() if i.answer is None and not i.expired]
        assert not self.violations, "\n".join(self.violations)
        assert not silent, f"never acknowledged: {[i.data for i in silent]}"

    def violation(self, what: str) -> None:
        """Note something that fails the test."""
        self.violations.append(what)

    # The world

    def add_channel(self, name: str, **more: Any) -> Channel:
        """Open a channel."""
        channel = Channel(snowflake(), name, **more)
        self.channels[channel.id] = channel
        return channel

    def add(self, message: Message) -> Message:
        """Post a message."""
        self.messages[message.id] = message
        return message

    def dm(self, person: str) -> Channel:
        """The private channel of a person with the bot, by the person's id; raises Refusal for a stranger."""
        for channel in self.channels.values():
            if channel.recipient and channel.recipient.id == person:
                return channel
        recipient = next((p for p in self.people.values() if p.id == person), None)
        if not recipient:
            raise Refusal(400, 50033, "Invalid Recipient(s)")
        return self.add_channel("", guild=None, recipient=recipient)

    def visible(self, channel: Channel) -> list[Message]:
        """What everybody in a channel sees, oldest first."""
        there = (m for m in self.messages.values() if m.channel is channel and not m.deleted and not m.ephemeral)
        return sorted(there, key=lambda m: int(m.id))

    def by_token(self, token: str) -> Interaction:
        """The interaction of a token that lives; raises Refusal otherwise."""
        interaction = self.interactions.get(token)
        if interaction is None or interaction.expired:
            # A bot learns only by trying that a token is dead; but once is enough.
            if token in self.used_dead:
                self.violation(f"{token} was used again after it had expired")
            self.used_dead.add(token)
            raise Refusal(401, 50027, "Invalid Webhook Token")
        if interaction.answer is None:
            self.violation("a follow-up before the first response")
            raise Refusal(404, 10015, "Unknown Webhook")
        return interaction

    def acknowledge(self, interaction: Interaction, answer: int) -> None:
        """Note the first response to an interaction; raises Refusal for a late or a second one."""
        if interaction.answer is not None:
            self.violation(f"a second response to {interaction.data}")
            raise Refusal(400, 40060, "Interaction has already been acknowledged.")
        interaction.answer, interaction.acknowledged_s = answer, time.monotonic()
        if interaction.expired or interaction.took_s > ACK_WITHIN_S:
            self.violation(f"acknowledged after {interaction.took_s:.1f} s: {interaction.data}")
            raise Refusal(404, 10062, "Unknown interaction")

    # Requests

    async def _request(self, request: web.Request) -> web.Response:
        path = request.path.removeprefix(PREFIX)
        route = contract().route(request.method, path)
        try:
            if route is None or not request.path.startswith(PREFIX):
                raise Refusal(404, 0, f"404: Not Found: {request.method} {request.path}")
            body, files = await self._body(request)
            response = self._respond(request, Call(route, dict(request.query), body, files))
        except Refusal as refusal:
            response, files = refusal.response(), []
            if refusal.code in (0, 50035, 50006, 40005):
                self.violation(f"{request.method} {path}: {refusal}")
        except Exception as error:
            self.violation(f"{request.method} {path}: the server itself failed: {error!r}")
            raise
        name = route.name if route else ""
        self.seen.append(Seen(name, path, len(files), response.status, time.monotonic()))
        if self.mute and re.search(self.mute, name):
            await asyncio.Event().wait()
        return response

    def _respond(self, request: web.Request, call: Call) -> web.Response:
        for problem in contract().problems(call.route, call.query, call.body):
            raise Refusal(400, 50035, f"Invalid Form Body: {problem}")
        self._check_headers(request, by_token=not call.route.name.startswith(BY_TOKEN_IN_PATH))
        for trouble in self.troubles:
            if trouble.meets(call.route.name, bool(call.files)):
                return trouble.response()
        return self.rest.answer(call)

    def _check_headers(self, request: web.Request, by_token: bool) -> None:
        if by_token and request.headers.get("Authorization") != f"Bot {self.token}":
            raise Refusal(401, 50014, "401: Unauthorized")
        if "DiscordBot (" not in request.headers.get("User-Agent", ""):
            raise Refusal(400, 0, "no User-Agent of a bot")

    async def _body(self, request: web.Request) -> tuple[Any, list[File]]:
        if not request.can_read_body:
            return None, []
        if request.content_type == "multipart/form-data":
            return await self._parts(request)
        if request.content_type != "application/json":
            raise Refusal(400, 50035, f"Invalid Form Body: content type {request.content_type}")
        return json.loads(await request.read()), []

    async def _parts(self, request: web.Request) -> tuple[Any, list[File]]:
        body, files = None, []
        async for part in await request.multipart():
            assert isinstance(part, BodyPartReader)
            data = bytes(await part.read())
            if part.name == "payload_json":
                body = json.loads(data)
            elif part.name == f"files[{len(files)}]" and part.filename:
                kind, _ = mimetypes.guess_type(part.filename)
                files.append(File(part.filename, data, kind or "application/octet-stream"))
            else:
                raise Refusal(400, 50035, f"Invalid Form Body: part {part.name}")
        if body is None:
            raise Refusal(400, 50035, "Invalid Form Body: no payload_json")
        return body, files

"""The server: one port for the Web API, the socket, the response URLs and the files."""

import asyncio
import json
import time
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tests.servers.slack import block_kit, methods
from tests.servers.slack.files import FileHost
from tests.servers.slack.socket_mode import Sockets
from tests.servers.slack.web_api import Answers
from tests.servers.slack.workspace import (
    APP_TOKEN,
    BOT_TOKEN,
    BOT_USER,
    RESPONSE_URL_S,
    RESPONSE_URL_USES,
    Json,
    Refused,
    ResponseUrl,
    Workspace,
)


@dataclass
class Trouble:
    """What a method answers instead of doing anything, `times` times; `lost`: it does it, and the answer is lost."""

    method: str
    error: str = "ratelimited"
    retry_after_s: int | None = None
    times: int = 1
    status: int | None = None  # by default 429 for ratelimited and 200 for the rest
    lost: bool = False
    happened: asyncio.Event = field(default_factory=asyncio.Event)


class SlackServer:
    """Slack, on a port of this machine."""

    def __init__(self) -> None:
        self.workspace = Workspace()
        self.answers = Answers(self.workspace)
        self.files = FileHost(self.workspace)
        self.sockets = Sockets(self.workspace)
        self.troubles: list[Trouble] = []
        self.calls: list[tuple[str, Json]] = []
        self.revoked = False
        self.base = ""
        app = web.Application(client_max_size=64 * 2**20)
        app.router.add_post("/api/{method}", self.call)
        app.router.add_get("/api/{method}", self.call)
        app.router.add_post("/hooks/{id}", self.respond)
        app.router.add_get("/socket/{ticket}", self.sockets.connect)
        self.files.add_routes(app)
        app.router.add_route("*", "/{path:.*}", self._unknown)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)

    async def __aenter__(self) -> "SlackServer":
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        port = self._runner.addresses[0][1]
        self.base = self.answers.base = self.files.base = self.sockets.base = f"http://127.0.0.1:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.sockets.close()
        await self._runner.cleanup()

    @property
    def api_url(self) -> str:
        """What SLACK_API_URL is set to."""
        return f"{self.base}/api/"

    def trouble(self, method: str, error: str = "ratelimited", **more: Any) -> Trouble:
        """Make a method fail for some time."""
        trouble = Trouble(method, error, **more)
        self.troubles.append(trouble)
        return trouble

    def count(self, method: str) -> int:
        """How often a method was called."""
        return sum(name == method for name, _ in self.calls)

    async def call(self, request: web.Request) -> web.Response:
        """Answer one call of the Web API."""
        method = request.match_info["method"]
        try:
            given, as_json = await self._given(request)
            self.calls.append((method, given))
            token = given.pop("token", None) or request.headers.get("Authorization", "").removeprefix("Bearer ")
            self._check(method, given, as_json, token)
            trouble = self._trouble(method)
            if trouble and not trouble.lost:
                return _troubled(trouble)
            told = await self.answers.answer(method, _structured(given))
            if trouble:
                await asyncio.sleep(3600)
            return web.json_response({"ok": True, **told}, headers={"x-oauth-scopes": self.workspace.scopes})
        except Refused as refused:
            return web.json_response({"ok": False, "error": refused.error, **refused.more})

    async def _given(self, request: web.Request) -> tuple[Json, bool]:
        """The arguments of a call, from the query string and the body."""
        given: Json = dict(request.query)
        if request.content_type == "application/json":
            return given | await request.json(), True
        if request.content_type in ("application/x-www-form-urlencoded", "multipart/form-data"):
            return given | dict(await request.post()), False
        if request.can_read_body:
            self.workspace.violated(f"{request.path}: content type {request.content_type}")
            raise Refused("invalid_post_type")
        return given, False

    def _check(self, method: str, given: Json, as_json: bool, token: str) -> None:
        """Note everything that breaks a rule; raises Refused for what Slack refuses."""
        if method not in methods.METHODS:
            self.workspace.violated(f"unknown method {method}")
            raise Refused("unknown_method")
        for problem in methods.problems(method, given, as_json):
            self.workspace.violated(problem)
            raise Refused("invalid_arguments")
        if token != (APP_TOKEN if method == "apps.connections.open" else BOT_TOKEN):
            raise Refused("invalid_auth" if token else "not_authed")
        if self.revoked:
            raise Refused("token_revoked")
        scope = methods.METHODS[method].scope
        if scope and scope not in self.workspace.scopes.split(","):
            raise Refused("missing_scope", needed=scope, provided=self.workspace.scopes)

    def _trouble(self, method: str) -> Trouble | None:
        for trouble in self.troubles:
            if trouble.method == method and trouble.times > 0:
                trouble.times -= 1
                trouble.happened.set()
                return trouble
        return None

    async def respond(self, request: web.Request) -> web.Response:
        """Take what the bot sends to a response URL."""
        hook = request.match_info["id"]
        if request.content_type != "application/json" or hook not in self.workspace.response_urls:
            self.workspace.violated(f"bad request to response_url {hook}")
            return web.json_response({"ok": False, "error": "invalid_post_type"}, status=400)
        url = self.workspace.response_urls[hook]
        url.uses += 1
        if url.uses > RESPONSE_URL_USES:
            self.workspace.violated(f"response_url {hook} used more than {RESPONSE_URL_USES} times")
        if url.uses > RESPONSE_URL_USES or time.monotonic() - url.made_s > RESPONSE_URL_S:
            return web.json_response({"ok": False, "error": "used_url"}, status=404)
        self._take_response(url, await request.json())
        return web.json_response({"ok": True})

    def _take_response(self, url: ResponseUrl, body: Json) -> None:
        """Put a response where it belongs: beside the message it is about, or in its place."""
        about, blocks = url.about, body.get("blocks", [])
        for problem in block_kit.problems(blocks):
            self.workspace.violated(f"response_url: {problem}")
        if body.get("delete_original"):
            self.workspace.channels[about.channel].messages.pop(about.ts, None)
        elif body.get("replace_original"):
            about.text, about.blocks = body.get("text", ""), blocks
            about.versions.append(about.text)
        else:
            only_for = "" if body.get("response_type") == "in_channel" else url.user
            channel = self.workspace.channels[about.channel]
            self.workspace.post(channel, BOT_USER, body.get("text", ""), blocks=blocks, only_for=only_for)

    async def _unknown(self, request: web.Request) -> web.Response:
        self.workspace.violated(f"unknown address {request.method} {request.path}")
        return web.Response(status=404)


def _structured(given: Json) -> Json:
    """Arguments with what is JSON inside them unpacked."""
    return {
        name: json.loads(value) if name in methods.STRUCTURES and isinstance(value, str) else value
        for name, value in given.items()
    }


def _troubled(trouble: Trouble) -> web.Response:
    status = trouble.status or (429 if trouble.error == "ratelimited" else 200)
    headers = {"Retry-After": str(trouble.retry_after_s)} if trouble.retry_after_s is not None else {}
    return web.json_response({"ok": False, "error": trouble.error}, status=status, headers=headers)


async def until(true: Any, within_s: float = 120.0) -> Any:
    """Wait until a function returns something true, and return that; AssertionError after `within_s`."""
    async with asyncio.timeout(within_s):
        while not (found := true()):  # noqa: ASYNC110 (what is waited for happens anywhere, in other processes too)
            await asyncio.sleep(0.02)
    return found

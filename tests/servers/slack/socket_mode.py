"""Socket Mode: hands envelopes to the bot over a WebSocket and waits for each to be acknowledged."""

import asyncio
import json
from contextlib import suppress

from aiohttp import WSMsgType, web

from tests.servers.slack.workspace import APP, Json, Workspace


class Sockets:
    """The connections of the bot; an envelope goes to the newest of them."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.base = ""
        self.open: list[web.WebSocketResponse] = []
        self.connected = 0  # how many connections there ever were
        self.busy = 0  # so many attempts to connect fail
        self._used: set[str] = set()  # tickets, of which each is good for one attempt
        self._waiting: dict[str, asyncio.Future[Json]] = {}
        self._here = asyncio.Condition()

    async def connect(self, request: web.Request) -> web.StreamResponse:
        """Hold one connection."""
        ticket = request.match_info["ticket"]
        if ticket in self._used:
            self.workspace.violated(f"{ticket} used again")
            return web.Response(status=403)
        self._used.add(ticket)
        if self.busy:
            self.busy -= 1
            return web.Response(status=503)
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_json(
            {"type": "hello", "num_connections": len(self.open) + 1, "connection_info": {"app_id": APP}}
        )
        self.connected += 1
        self.open.append(socket)
        async with self._here:
            self._here.notify_all()
        try:
            async for message in socket:
                if message.type == WSMsgType.TEXT:
                    self._acknowledged(json.loads(message.data))
        finally:
            with suppress(ValueError):
                self.open.remove(socket)
        return socket

    def _acknowledged(self, answer: Json) -> None:
        waiting = self._waiting.pop(answer.get("envelope_id", ""), None)
        if waiting is None:
            self.workspace.violated(f"acknowledged an envelope that does not wait: {answer}")
        elif not waiting.done():
            waiting.set_result(answer.get("payload") or {})

    async def wait(self, within_s: float = 120.0) -> None:
        """Wait until the bot is connected."""
        async with asyncio.timeout(within_s), self._here:
            await self._here.wait_for(lambda: bool(self.open))

    async def send(self, kind: str, payload: Json) -> Json:
        """Hand over an envelope; return what the bot answered with its acknowledgement."""
        await self.wait()
        envelope = self.workspace.new_id("envelope-")
        self._waiting[envelope] = asyncio.get_running_loop().create_future()
        accepts = kind in ("slash_commands", "interactive")
        body = {"type": kind, "envelope_id": envelope, "payload": payload, "accepts_response_payload": accepts}
        await self.open[-1].send_json(body)
        return await self._waiting[envelope]

    async def disconnect(self, reason: str = "refresh_requested") -> None:
        """Tell the bot that its connection ends, and end it once there is another, as Slack does every few hours."""
        socket = self.open.pop()
        await socket.send_json({"type": "disconnect", "reason": reason, "debug_info": {}})
        await self.wait()
        await socket.close()

    async def cut(self) -> None:
        """Lose the connections without a word."""
        for socket in list(self.open):
            self.open.remove(socket)
            if transport := socket._req and socket._req.transport:
                transport.abort()

    async def close(self) -> None:
        """End all connections."""
        for socket in list(self.open):
            await socket.close()

"""The CDN: files that people attached and pictures that the bot uploaded, on the same host as the API."""

import asyncio
from dataclasses import dataclass

from aiohttp import web

from tests.servers.discord.world import Json, snowflake


@dataclass
class File:
    """One file on the CDN; `location` sends whoever asks elsewhere, `expired` is a link whose time is over."""

    name: str
    data: bytes
    kind: str = "application/octet-stream"
    description: str | None = None
    location: str = ""
    expired: bool = False
    stuck: bool = False  # whoever asks waits for ever


class Cdn:
    """Keeps files under ids."""

    def __init__(self) -> None:
        self.url = ""  # of the server, known when it runs
        self.files: dict[str, File] = {}

    def add(self, file: File, channel: str = "1") -> Json:
        """Keep a file; return how Discord describes it as an attachment."""
        attachment = snowflake()
        self.files[attachment] = file
        url = f"{self.url}/attachments/{channel}/{attachment}/{file.name}?ex=7fffffff&is=1&hm=0"
        described: Json = {
            "id": attachment, "filename": file.name, "size": len(file.data), "url": url, "proxy_url": url,
        }  # fmt: skip
        described |= {"content_type": file.kind} if file.kind else {}
        return described | ({"description": file.description} if file.description else {})

    async def serve(self, request: web.Request) -> web.Response:
        """Answer a download."""
        file = self.files.get(request.match_info["attachment"])
        if file is None or file.expired:
            return web.Response(status=404, text="This content is no longer available.")
        if file.stuck:
            await asyncio.Event().wait()
        if file.location:
            return web.Response(status=302, headers={"Location": file.location})
        return web.Response(body=file.data, content_type=file.kind or "application/octet-stream")

"""Slack's host of files: takes the bytes of uploads, and hands out what people attached."""

import asyncio

from aiohttp import web

from tests.servers.slack.workspace import BOT_TOKEN, File, Workspace

LOGIN_PAGE = "<!DOCTYPE html><html><head><title>Sign in to Slack</title></head></html>"


class FileHost:
    """The addresses of files."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.base = ""
        self.stuck = 0  # downloads that wait for ever

    def add_routes(self, app: web.Application) -> None:
        """Put the addresses into the server."""
        app.router.add_post("/upload/v1/{id}", self.upload)
        app.router.add_get("/files-pri/{id}/{name}", self.download)
        app.router.add_get("/elsewhere", self.elsewhere)

    async def upload(self, request: web.Request) -> web.Response:
        """Take the bytes of an upload."""
        file = self.workspace.files.get(request.match_info["id"])
        data = await request.read()
        if "Authorization" in request.headers:
            self.workspace.violated("the token was sent to an upload URL")
        if file is None or file.data is not None or len(data) != file.length:
            self.workspace.violated(f"an upload of {len(data)} bytes that was not announced")
            return web.Response(status=400)
        file.data = data
        return web.Response(text=f"OK - {len(data)}")

    async def download(self, request: web.Request) -> web.Response:
        """Hand out a file to who has the token; to others, and for odd files, an HTML page with status 200."""
        file = self.workspace.files.get(request.match_info["id"].partition("-")[2])
        if file is None or file.serves == "gone":
            return web.Response(status=404)
        if request.headers.get("Authorization") != f"Bearer {BOT_TOKEN}" or file.serves == "html":
            return web.Response(text=LOGIN_PAGE, content_type="text/html")
        if file.serves == "stuck":
            self.stuck += 1
            await asyncio.Event().wait()
        if file.serves == "elsewhere":  # another host, as far as names go
            raise web.HTTPFound(f"{self.base.replace('127.0.0.1', 'localhost')}/elsewhere")
        return web.Response(body=file.data, content_type=_content_type(file))

    async def elsewhere(self, request: web.Request) -> web.Response:
        """Another host: nobody should come here, least of all with the token."""
        self.workspace.violated("a redirect to another host was followed")
        if "Authorization" in request.headers:
            self.workspace.violated("the token was sent to another host")
        return web.Response(text="a secret of the internal network")


def _content_type(file: File) -> str:
    ending = file.name.rpartition(".")[2]
    return "text/html" if ending == "html" else f"image/{ending}"

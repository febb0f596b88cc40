"""The local web chat: one page on 127.0.0.1, served with aiohttp. It only translates; `chat.py` is the chat."""

import asyncio
import errno
import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import aiohttp
from aiohttp import web

from bot.app import Darkroom
from bot.connectors.web import handlers
from bot.connectors.web.chat import Chat
from bot.connectors.web.gallery import Gallery
from bot.connectors.web.guard import add_headers, guard
from bot.connectors.web.multipart import WORDS_MAX_BYTES, UploadLimits
from bot.connectors.web.openai_api import handlers as openai_api
from storage.errors import SetupError
from storage.settings.bot import BotSettings

PAGE = Path(__file__).parent / "page"
HOST = "127.0.0.1"
NEXT_PORTS = 20  # that a demo tries where its own is taken


async def serve(settings: BotSettings, redis_url: str, listening: Callable[[str], None]) -> None:
    """Serve the chat until cancelled; call `listening` with its URL as soon as it can be opened.

    Raises SetupError in a sentence if the port is taken, or if the store or the queue does not work.
    """
    async with opened(settings, redis_url) as url:
        listening(url)
        await asyncio.Event().wait()


@asynccontextmanager
async def opened(settings: BotSettings, redis_url: str, ports: int = 1) -> AsyncIterator[str]:
    """Serve the chat inside the block, at the URL that this gives: on its port, or the next that is free of so many."""
    app = await Darkroom.open(settings, redis_url)
    chat = Chat(app)
    runner = web.AppRunner(application(chat), access_log=None, shutdown_timeout=1)
    try:
        await runner.setup()
        # What was open before a restart is followed again before the first page can ask.
        await chat.open()
        await _bind(runner, settings.port, ports)
        yield f"http://{HOST}:{runner.addresses[0][1]}"
    finally:
        # In this order: streams end when the chat closes, and handlers need the application until they have ended.
        await chat.close()
        await runner.cleanup()
        await app.close()


async def _bind(runner: web.AppRunner, port: int, tries: int = 1) -> None:
    """Listen on a port, or on one of the next; raises SetupError in a sentence."""
    try:
        await web.TCPSite(runner, HOST, port).start()
    except OSError as error:
        if error.errno not in (errno.EADDRINUSE, errno.EACCES):
            raise
        if tries > 1 and error.errno == errno.EADDRINUSE:
            return await _bind(runner, port + 1, tries - 1)
        why = "is in use by another program" if error.errno == errno.EADDRINUSE else "may not be used by this account"
        raise SetupError(f"Port {port} {why}. Set DARKROOM_PORT to a free port, or to 0 for any.") from error


def application(chat: Chat) -> web.Application:
    """Put the routes together."""
    settings = chat.app.settings
    limits = UploadLimits.from_settings(settings)
    app = web.Application(
        middlewares=[guard(settings.host_names), handlers.store_troubles], client_max_size=WORDS_MAX_BYTES
    )
    app.on_response_prepare.append(add_headers)
    app[handlers.CHAT], app[handlers.GALLERY], app[handlers.UPLOAD_LIMITS] = chat, Gallery(chat.app), limits
    app.add_routes(
        [
            web.get("/", _index),
            web.static("/page", PAGE),
            web.get("/healthz", _health),
            web.get("/welcome", handlers.welcome),
            web.get("/events", handlers.events),
            web.get("/messages", handlers.messages),
            web.post("/messages", handlers.say),
            web.get("/completions", handlers.completions),
            web.get("/form", handlers.filled),
            web.get("/gallery", handlers.wall),
            web.get("/pictures/{key:.+}", handlers.picture),
            web.get("/thumbnails/{key:.+}", handlers.thumbnail),
            web.get("/previews/{job:[0-9a-f]+}", handlers.preview),
            *openai_api.routes(),
        ]
    )
    return app


async def running(settings: BotSettings) -> str | None:
    """The URL of the chat of this DARKROOM_HOME that runs already, if one does on its port or the next."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2)) as session:
        for port in range(settings.port, settings.port + NEXT_PORTS) if settings.port else ():
            with suppress(aiohttp.ClientError, TimeoutError, ValueError):
                async with session.get(f"http://{HOST}:{port}/healthz") as response:
                    # Another deployment, or another program, may be on that port.
                    if (await response.json())["home"] == _home_digest(settings):
                        return f"http://{HOST}:{port}"
    return None


def _home_digest(settings: BotSettings) -> str:
    """A hash of the folder, which tells two deployments apart and tells nobody the path."""
    return hashlib.sha256(str(settings.home.absolute()).encode()).hexdigest()[:20]


async def _health(request: web.Request) -> web.Response:
    return web.json_response({"ok": True, "home": _home_digest(request.app[handlers.CHAT].app.settings)})


async def _index(request: web.Request) -> web.FileResponse:
    return web.FileResponse(PAGE / "index.html", headers={"Cache-Control": "no-cache"})

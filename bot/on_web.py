"""The local web chat: one page on 127.0.0.1, served with aiohttp. It only translates; `bot/web/chat.py` is the chat."""

import asyncio
import errno
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web

from bot.app import Darkroom
from bot.web import handlers
from bot.web.chat import Chat
from bot.web.gallery import Gallery
from bot.web.guard import add_headers, guard
from bot.web.uploads import WORDS_MAX_BYTES, UploadLimits
from storage.errors import SetupError
from storage.settings import Settings

PAGE = Path(__file__).parent / "page"
HOST = "127.0.0.1"


async def serve(settings: Settings, redis_url: str, listening: Callable[[str], None]) -> None:
    """Serve the chat until cancelled; call `listening` with its URL as soon as it can be opened.

    Raises SetupError in a sentence if the port is taken, or if the store or the queue does not work.
    """
    async with opened(settings, redis_url) as url:
        listening(url)
        await asyncio.Event().wait()


@asynccontextmanager
async def opened(settings: Settings, redis_url: str) -> AsyncIterator[str]:
    """Serve the chat inside the block, at the URL that this gives."""
    app = await Darkroom.open(settings, redis_url)
    chat = Chat(app)
    runner = web.AppRunner(application(chat), access_log=None, shutdown_timeout=1)
    try:
        await runner.setup()
        await chat.open()
        await _bind(runner, settings.port)
        yield f"http://{HOST}:{runner.addresses[0][1]}"
    finally:
        await chat.close()
        await runner.cleanup()
        await app.close()


async def _bind(runner: web.AppRunner, port: int) -> None:
    try:
        await web.TCPSite(runner, HOST, port).start()
    except OSError as error:
        if error.errno not in (errno.EADDRINUSE, errno.EACCES):
            raise
        why = "is in use by another program" if error.errno == errno.EADDRINUSE else "may not be used by this account"
        raise SetupError(f"Port {port} {why}. Set DARKROOM_PORT to a free port, or to 0 for any.") from error


def application(chat: Chat) -> web.Application:
    """Put the routes together."""
    settings = chat.app.settings
    limits = UploadLimits.of(settings)
    app = web.Application(middlewares=[guard, handlers.store_troubles], client_max_size=WORDS_MAX_BYTES)
    app.on_response_prepare.append(add_headers)
    app[handlers.CHAT], app[handlers.GALLERY], app[handlers.UPLOAD_LIMITS] = chat, Gallery(chat.app), limits
    app.add_routes(
        [
            web.get("/", _index),
            web.static("/page", PAGE),
            web.get("/welcome", handlers.welcome),
            web.get("/events", handlers.events),
            web.get("/messages", handlers.messages),
            web.post("/messages", handlers.say),
            web.get("/completions", handlers.completions),
            web.get("/form", handlers.filled),
            web.get("/gallery", handlers.wall),
            web.get("/pictures/{key:.+}", handlers.picture),
        ]
    )
    return app


async def _index(request: web.Request) -> web.FileResponse:
    return web.FileResponse(PAGE / "index.html", headers={"Cache-Control": "no-cache"})

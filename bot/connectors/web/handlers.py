"""HTTP handlers of the local web chat: event stream, messages, completions, forms, gallery, pictures."""

import json
import logging
from collections.abc import Awaitable, Callable, Sequence

from aiohttp import web
from aiohttp.typedefs import Handler

from bot.arguments.forms import Form
from bot.arguments.parser import parse, typed
from bot.commands.prefill import filled_form
from bot.commands.registry import COMMANDS
from bot.connectors.web.chat import Chat
from bot.connectors.web.completion import complete
from bot.connectors.web.gallery import Gallery, GalleryJob, GallerySubject
from bot.connectors.web.multipart import FormTooLarge, MalformedForm, UploadLimits, read_form
from bot.connectors.web.slash_commands import parse_line
from bot.core import access
from bot.core.chat_log import ChatMessage
from bot.core.context import PREFIX
from bot.core.error_replies import service_error_text
from bot.core.local_space import PERSON, SPACE, USER
from bot.core.messages import Request
from bot.photos import captions
from bot.photos.file_types import EXTENSIONS, MEDIA_TYPES
from bot.photos.uploads import Upload
from storage.contract.base import Record
from storage.errors import Missing, UserError
from storage.failures import Failure
from storage.service_errors import SERVICE_ERRORS, failure_of, reason_of
from storage.text import clean, one_line

log = logging.getLogger(__name__)

SAID_MAX = 2000  # characters of a line that the chat repeats
MESSAGES_AT_ONCE = 60  # further back on demand
JOBS_AT_ONCE = 24  # in the gallery, with all their pictures
PATH_MAX_BYTES = 255  # the longest name of a file; no path of ours is longer
BEAT_S = 15.0  # a stream without news says so, or what lies between takes it for dead

CHAT = web.AppKey("chat", Chat)
GALLERY = web.AppKey("gallery", Gallery)
UPLOAD_LIMITS = web.AppKey("upload_limits", UploadLimits)


ACCEPTED = (*MEDIA_TYPES, *(f".{extension}" for extension in EXTENSIONS), captions.SUFFIX)


class Welcome(Record):
    """What the page needs to know first: every command as a form, how many subjects there are, how much may be sent."""

    commands: tuple[Form, ...]
    subjects: int  # how many there are
    upload_max_bytes: int
    photo_types: tuple[str, ...] = ACCEPTED  # media types and endings, as a file field takes them


class ChatSnapshot(Record):
    """The newest messages as they are now, oldest first, and whether there are older ones."""

    messages: tuple[ChatMessage, ...]
    more: bool


class GalleryPage(Record):
    """A page of the gallery, and whether there are older pictures."""

    subjects: tuple[GallerySubject, ...]
    made: tuple[GalleryJob, ...]
    more: bool


@web.middleware
async def store_troubles(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn a store or queue that fails into a sentence; a path that no file system takes is that of nothing.

    503 says that trying again may help; where it does not, the status is 500.
    """
    if len(request.path.encode(errors="replace")) > PATH_MAX_BYTES:
        return web.Response(status=404, text="There is no file or page of that name.")
    try:
        return await handler(request)
    except ConnectionResetError:  # the page is gone
        raise
    except SERVICE_ERRORS as error:
        failure = failure_of(error)
        level = logging.WARNING if failure is Failure.OUTAGE else logging.ERROR
        log.log(level, "%s %s failed: %s", request.method, request.path, reason_of(error))
        status = 500 if failure is Failure.PERMANENT else 503
        return web.json_response({"error": service_error_text(error)}, status=status)


def _json(record: Record, status: int = 200) -> web.Response:
    headers = {"Cache-Control": "no-store"}
    return web.Response(text=record.model_dump_json(), status=status, content_type="application/json", headers=headers)


def _id(request: web.Request, name: str) -> str:
    """An id in the query, or how one begins, empty if there is none; raises HTTPBadRequest for what is no id."""
    value = request.query.get(name, "")
    if value and not PREFIX.fullmatch(value):
        error = {"error": f"{clean(value)[:20]} is no id."}
        raise web.HTTPBadRequest(text=json.dumps(error), content_type="application/json")
    return value


async def welcome(request: web.Request) -> web.Response:
    """The commands and their forms, for the page."""
    chat = request.app[CHAT]
    forms = tuple(command.form() for command in COMMANDS.values() if not command.hidden)
    there = len(await access.visible_subjects(chat.app, PERSON))
    return _json(Welcome(commands=forms, subjects=there, upload_max_bytes=request.app[UPLOAD_LIMITS].body_bytes))


async def events(request: web.Request) -> web.StreamResponse:
    """Stream the chat: everything first, so that nothing is missed, then each change as it comes."""
    chat = request.app[CHAT]
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
    await response.prepare(request)
    try:
        with chat.listening() as listener:
            await response.write(b"retry: 1000\n" + _event("everything", (await _newest(chat, "")).model_dump_json()))
            while not chat.closing:
                news = (await listener.news(BEAT_S)).items()
                lines = [_event("message", m.model_dump_json()) if m else _event("removed", name) for name, m in news]
                await response.write(b"".join(lines) or b": nothing new\n\n")
    except ConnectionResetError:
        pass  # the page was closed or reloaded
    return response


def _event(name: str, data: str) -> bytes:
    return f"event: {name}\ndata: {data}\n\n".encode()


async def _newest(chat: Chat, before: str) -> ChatSnapshot:
    messages, more = await chat.page(before, MESSAGES_AT_ONCE)
    return ChatSnapshot(messages=messages, more=more)


async def messages(request: web.Request) -> web.Response:
    """A page of history: the newest messages that are older than one."""
    return _json(await _newest(request.app[CHAT], _id(request, "before")))


async def say(request: web.Request) -> web.Response:
    """Take what a person typed (`line`) or pressed (`command` and its arguments), with photos; 201 and the message."""
    chat = request.app[CHAT]
    try:
        sent = await read_form(request, request.app[UPLOAD_LIMITS])
    except FormTooLarge as error:
        return web.json_response({"error": str(error)}, status=413)
    except MalformedForm as error:
        return web.json_response({"error": str(error)}, status=400)
    values, uploads = sent.values, tuple(sent.uploads)
    line = values.get("line", "")
    try:
        asked, typed = _line(line, uploads) if "line" in values else _press(chat, values, uploads)
    except UserError as error:
        return _json(await chat.refuse(one_line(line)[:SAID_MAX], str(error), uploads), 201)
    return _json(await chat.ask(asked, typed[:SAID_MAX]), 201)


def _line(line: str, uploads: tuple[Upload, ...]) -> tuple[Request, str]:
    """Understand a typed line; gives the request and how the chat repeats it, or raises UserError."""
    name, rest = parse_line(line, len(uploads))
    values = parse(rest, COMMANDS[name].arguments)
    return _request(name, values, uploads), one_line(line)


def _press(chat: Chat, values: dict[str, str], uploads: tuple[Upload, ...]) -> tuple[Request, str]:
    """Understand a button or a form; gives the request and how the chat repeats it, or raises UserError."""
    name = values.pop("command", "")
    if name not in COMMANDS:
        raise UserError(f"There is no command /{name[:30]}. Try /help.")
    command = one_line(typed(name, values, COMMANDS[name].arguments))
    made = chat.messages.get(values.get("job", ""))
    if made or COMMANDS[name].hidden:  # nobody types an id, so it is called by what it is about
        word = "Delete one picture" if name == "delete" and "seed" in values else name.split()[-1].capitalize()
        command = f"{word}: {made.said}" if made else word
    return _request(name, values, uploads, confirmed=not COMMANDS[name].takes_photos), command


def _request(command: str, values: dict[str, str], uploads: tuple[Upload, ...], confirmed: bool = False) -> Request:
    who = {"space": SPACE, "user": USER}
    return Request(**who, command=command, arguments=values, uploads=uploads, confirmed=confirmed)


async def completions(request: web.Request) -> web.Response:
    """Completions of a line."""
    chat = request.app[CHAT]

    async def suggest(what: str) -> Sequence[str]:
        if what == "jobs":
            return chat.open_jobs()
        return [subject.name for subject in await access.visible_subjects(chat.app, PERSON, chat.app.suggestions)]

    options = await complete(request.query.get("line", "")[:SAID_MAX], suggest)
    return web.json_response([completion.model_dump() for completion in options])


async def filled(request: web.Request) -> web.Response:
    """The form that a button opens, with what the button knows filled in."""
    _id(request, "like")
    given = {name: clean(value) for name, value in request.query.items()}
    name = given.pop("command", "")
    if name not in COMMANDS:
        return web.json_response({"error": f"There is no command /{name[:30]}."}, status=404)
    asked = Request(space=SPACE, user=USER, command=name)
    try:
        return _json(await filled_form(request.app[CHAT].app, asked, name, given))
    except UserError as error:
        return web.json_response({"error": str(error)}, status=404)


async def wall(request: web.Request) -> web.Response:
    """A page of the gallery; subjects come with the first."""
    gallery, before = request.app[GALLERY], _id(request, "before")
    subjects = () if before else await gallery.subjects()
    made = await gallery.pictures(before, JOBS_AT_ONCE + 1)
    return _json(GalleryPage(subjects=tuple(subjects), made=tuple(made[:JOBS_AT_ONCE]), more=len(made) > JOBS_AT_ONCE))


async def picture(request: web.Request) -> web.Response:
    """A picture by its name in the store; 404 for everything else that is there."""
    return await _image(request, request.app[GALLERY].picture)


async def thumbnail(request: web.Request) -> web.Response:
    """The thumbnail of a picture by the picture's name; 404 as for the picture."""
    return await _image(request, request.app[GALLERY].thumbnail)


async def preview(request: web.Request) -> web.Response:
    """The newest preview of a job that is being drawn; 404 where there is none, or not any more."""
    try:
        data = await request.app[CHAT].previews.read(request.match_info["job"])
    except Missing:
        return web.Response(status=404, text="There is no preview, or not any more.")
    return web.Response(body=data, content_type="image/jpeg", headers={"Cache-Control": "no-store"})


async def _image(request: web.Request, read: Callable[[str], Awaitable[tuple[bytes, str]]]) -> web.Response:
    try:
        data, media_type = await read(request.match_info["key"])
    except Missing:
        return web.Response(status=404, text="There is no such picture, or not any more.")
    # Names in the store are never used twice, so what a name stands for never changes.
    headers = {"Cache-Control": "private, max-age=31536000, immutable"}
    return web.Response(body=data, content_type=media_type, headers=headers)

"""HTTP handlers of the API: chat completions, as an ordinary job of the queue, and the list of models."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import suppress

from aiohttp import web

from bot.commands.ask import accept_question
from bot.connectors.web.guard import SONAR_PATH
from bot.connectors.web.handlers import CHAT
from bot.connectors.web.openai_api.access import check_access
from bot.connectors.web.openai_api.chunks import ChunkStream
from bot.connectors.web.openai_api.completion import Json, completion
from bot.connectors.web.openai_api.errors import ApiError
from bot.connectors.web.openai_api.job_stream import stream_job
from bot.connectors.web.openai_api.parameters import ChatRequest, read_request
from bot.connectors.web.openai_api.thread import thread_of
from bot.core.context import CommandContext
from bot.core.error_replies import error_reply
from bot.core.local_space import SPACE, USER
from bot.core.messages import Request
from storage.contract.ask import Answer
from storage.contract.jobs import Job
from storage.errors import UserError
from storage.failures import Failure
from storage.service_errors import SERVICE_ERRORS, failure_of

MODEL = "darkroom"  # the one there is; the operator's settings say who writes
LOOK_S = 0.25  # between two looks whether the client is still there
CLIENT_GONE = 499  # as nginx has it; nobody reads it
Handle = Callable[[web.Request], Awaitable[web.StreamResponse]]


def routes() -> list[web.RouteDef]:
    """The routes of the API."""
    return [
        web.post("/v1/chat/completions", api_handler(chat_completions)),
        web.post(SONAR_PATH, api_handler(chat_completions)),
        web.get("/v1/models", api_handler(models)),
        web.get("/v1/models/{model}", api_handler(model)),
    ]


def api_handler(handle: Handle) -> Handle:
    """A handler for those who may use the API, whose errors are in OpenAI's form."""

    async def handler(request: web.Request) -> web.StreamResponse:
        try:
            check_access(request, request.app[CHAT].app.settings)
            return await handle(request)
        except ApiError as error:
            return error.response()
        except SERVICE_ERRORS as error:
            return service_error(error).response()

    return handler


def service_error(error: Exception) -> ApiError:
    """The error for a store or queue that fails; its reason is logged."""
    is_final = failure_of(error) is Failure.PERMANENT
    return ApiError(500 if is_final else 503, error_reply(error, "/v1").text, "storage_error", final=is_final)


async def models(request: web.Request) -> web.Response:
    """The models: one."""
    return web.json_response({"object": "list", "data": [_model()]})


async def model(request: web.Request) -> web.Response:
    """The model of a name."""
    if request.match_info["model"] != MODEL:
        raise ApiError(404, f"There is one model here: {MODEL}.", "model_not_found", "model")
    return web.json_response(_model())


def _model() -> Json:
    return {"id": MODEL, "object": "model", "created": 0, "owned_by": "darkroom"}


async def chat_completions(request: web.Request) -> web.StreamResponse:
    """Answer a question; when the client goes, the job is cancelled."""
    asked = read_request(await _body(request))
    bot = request.app[CHAT].app
    job = await _accept(bot, asked)
    work = asyncio.create_task(_streamed(request, bot, job, asked) if asked.stream else _whole(bot, job, asked))
    try:
        while not (await asyncio.wait({work}, timeout=LOOK_S))[0]:
            if request.transport is None or request.transport.is_closing():
                return web.Response(status=CLIENT_GONE)
        return await work
    except ConnectionResetError:
        return web.Response(status=CLIENT_GONE)
    finally:
        if not _has_ended(work):
            work.cancel()
            with suppress(*SERVICE_ERRORS):  # it is answered then, for nobody
                await bot.dispatch.cancel(job)


def _has_ended(work: asyncio.Task[web.StreamResponse]) -> bool:
    """Whether the job that is followed has ended, as far as is known."""
    if not work.done() or work.cancelled():
        return False
    error = work.exception()
    return error is None or (isinstance(error, ApiError) and error.final)


async def _body(request: web.Request) -> object:
    try:
        return await request.json()
    except web.HTTPRequestEntityTooLarge:
        raise ApiError(413, "That is too much text at once.", "request_too_large") from None
    except (ValueError, LookupError, RecursionError) as error:  # no JSON, no such charset
        raise ApiError(400, f"The body is no JSON: {error}.", "invalid_json") from None


async def _accept(bot: CommandContext, asked: ChatRequest) -> Job:
    """Accept the question as a job; raises ApiError, and what a store or queue raises."""
    question, filters, turns = asked.question, asked.filters, asked.conversation
    request = Request(space=SPACE, user=USER, command="ask", arguments={"question": question})
    try:
        await bot.limits.pace(request)
        thread = await thread_of(bot, request, turns)
        accepted = await accept_question(bot, request, question, filters, **thread)
        return await bot.dispatch.job(accepted.job)
    except UserError as error:
        raise ApiError(429, str(error), "rate_limit_exceeded") from None
    except SERVICE_ERRORS:
        with suppress(*SERVICE_ERRORS):  # the client asks again: this one would be answered for nobody
            await bot.dispatch.cancel(await bot.dispatch.job(request.id))
        raise


async def _whole(bot: CommandContext, job: Job, asked: ChatRequest) -> web.StreamResponse:
    """The answer in one piece."""
    async for news in stream_job(bot, job):
        if isinstance(news, Answer):
            return web.json_response(completion(_wanted(news, asked), f"chatcmpl-{job.id}", MODEL))
    raise AssertionError("an answer is the last of what is followed")


async def _streamed(request: web.Request, bot: CommandContext, job: Job, asked: ChatRequest) -> web.StreamResponse:
    """The answer as server-sent events. They begin when a worker does, so that what fails before has its status."""
    include_usage = bool(asked.stream_options and asked.stream_options.include_usage)
    mode = asked.stream_mode or ("full" if request.path == SONAR_PATH else "")  # which is Sonar's default
    chunks = ChunkStream(f"chatcmpl-{job.id}", MODEL, mode, include_usage)
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
    try:
        async for news in stream_job(bot, job):
            if not response.prepared:
                await response.prepare(request)
                await _send(response, chunks.begin())
            for chunk in chunks.end(_wanted(news, asked)) if isinstance(news, Answer) else chunks.add(news):
                await _send(response, chunk)
        await response.write(b"data: [DONE]\n\n")
    except (ApiError, *SERVICE_ERRORS) as error:
        if not response.prepared or isinstance(error, ConnectionResetError):
            raise
        await _send(response, (error if isinstance(error, ApiError) else service_error(error)).as_json())
    return response


async def _send(response: web.StreamResponse, event: Json) -> None:
    await response.write(b"data: " + json.dumps(event).encode() + b"\n\n")


def _wanted(answer: Answer, asked: ChatRequest) -> Answer:
    return answer if asked.return_related_questions else answer.model_copy(update={"related_questions": ()})

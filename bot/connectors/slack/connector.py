"""The Slack connector: connects, and says when it is ready. Everything else is in the modules beside it."""

import asyncio
import errno
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import aiohttp
from aiohttp import web
from slack_bolt.adapter.socket_mode.aiohttp import AsyncSocketModeHandler
from slack_bolt.async_app import AsyncApp
from slack_sdk.socket_mode.aiohttp import SocketModeClient
from slack_sdk.web.async_client import AsyncWebClient
from tenacity import AsyncRetrying, before_sleep_log

from bot.app import Darkroom
from bot.commands.departures import Departures
from bot.connectors.slack.attachments import Attachments
from bot.connectors.slack.client import Client, session, web_client
from bot.connectors.slack.inbound import EventHandler
from bot.connectors.slack.members import SlackMembers
from bot.connectors.slack.poster import SlackPoster
from bot.connectors.slack.request import RequestFactory
from bot.connectors.slack.responder import SlackResponder
from bot.connectors.slack.setup import PATH
from bot.connectors.slack.tokens import signing_secret, socket_url, until_refused, who_am_i
from bot.delivery.follower import Follower
from bot.delivery.front_end_failure import ServeAgain
from bot.delivery.leader_election import LeaderLock, first_completed
from bot.delivery.posts import ChatRefused, ChatTrouble
from bot.delivery.reliable_poster import pause_s
from storage.errors import SetupError
from storage.service_errors import SERVICE_ERRORS, reason_of
from storage.settings.bot import BotSettings

log = logging.getLogger(__name__)

PING_S = 5.0  # between two looks whether the socket lives


async def serve(settings: BotSettings, redis_url: str, ready: Callable[[str], None]) -> None:
    """Serve a Slack workspace until cancelled; call `ready` with a sentence whenever this process does.

    Of several processes with one token one serves, and the others stand by. Trouble that passes is waited for; raises
    SetupError in a sentence where Slack refuses a token, then or later, or is not there when this begins, and where
    queue or store refuse permanently.
    """
    async with AsyncExitStack() as open_:
        app = await Darkroom.open(settings, redis_url)
        open_.push_async_callback(app.close)
        # One session for the API and for photos: connections are kept open between requests.
        http = await open_.enter_async_context(session())
        client = web_client(settings, http)
        again = ServeAgain()
        retrying = AsyncRetrying(
            retry=again, wait=pause_s, before_sleep=before_sleep_log(log, logging.WARNING), reraise=True
        )
        me: dict[str, str] = await retrying(who_am_i, client)
        lead = LeaderLock(app.redis, f"slack:{me['team_id']}")

        async def serve_here() -> None:
            async with _serving(app, client, http, me) as where:
                # From now on trouble is waited out without end: nobody watches any more.
                again.works()
                ready(f"Darkroom is on Slack, in {me['team']}: {where}")
                await until_refused(settings, client)

        try:
            while True:
                await retrying(_lead_once, lead, serve_here)
                log.warning("another process serves Slack now; this one stands by")
        except (ChatTrouble, ChatRefused) as error:
            raise SetupError(f"Slack does not let me serve: {error}") from error
        except SERVICE_ERRORS as error:
            raise SetupError(reason_of(error)) from error


async def _lead_once(lead: LeaderLock, work: Callable[[], Awaitable[None]]) -> None:
    """Wait to be elected leader, and work while this process is."""
    await lead.wait()
    try:
        await first_completed(work(), lead.lost())
    finally:
        await lead.resign()


@asynccontextmanager
async def _serving(
    app: Darkroom, client: Client, http: aiohttp.ClientSession, me: dict[str, str]
) -> AsyncIterator[str]:
    """Serve Slack inside the block; yields how Slack reaches us, who are `me`."""
    people = RequestFactory(client, me, app.settings.slack_outsiders)
    follower = Follower(app, SlackPoster(client, app.store, people))
    responder = SlackResponder(app, client, follower, people, Attachments(client, http, app.settings))
    departures = Departures(app, SlackMembers(client, me["team_id"]))
    events = EventHandler(app, responder, departures)
    looking = asyncio.create_task(departures.forever())
    try:
        await departures.space_joined(f"slack:{me['team_id']}")
        async with _connected(app.settings, client, events) as where:
            # Open posts are resumed only by the leader, or each edit would be made twice.
            await follower.resume()
            yield where
    finally:
        looking.cancel()
        await events.close()
        await follower.close()


@asynccontextmanager
async def _connected(settings: BotSettings, client: AsyncWebClient, events: EventHandler) -> AsyncIterator[str]:
    """Receive events: by Socket Mode if there is an app token, else by signed HTTP requests."""
    secret = "" if settings.slack_app_token else signing_secret(settings)
    bolt = AsyncApp(
        client=client,
        signing_secret=secret,
        process_before_response=True,  # an acknowledgement goes out when its handler is done
        logger=logging.getLogger("slack_bolt"),
    )
    events.listen(bolt)
    if settings.slack_app_token:
        async with _socket(settings, client, bolt):
            yield "Socket Mode"
    else:
        async with _listening(settings, bolt) as url:
            yield url


@asynccontextmanager
async def _socket(settings: BotSettings, client: AsyncWebClient, bolt: AsyncApp) -> AsyncIterator[None]:
    url = await socket_url(settings, client)
    assert settings.slack_app_token
    handler = AsyncSocketModeHandler(bolt, settings.slack_app_token.get_secret_value(), ping_interval=PING_S)
    # Its own session would try one URL for ever, though Slack takes each only once.
    await handler.client.aiohttp_client_session.close()
    handler.client.aiohttp_client_session = _trying_once(handler.client)
    handler.client.wss_uri = url  # the first connection; the client asks for others itself
    try:
        await handler.client.connect()  # type: ignore[no-untyped-call]
        yield
    finally:
        await handler.client.close()  # type: ignore[no-untyped-call]


def _trying_once(client: SocketModeClient) -> aiohttp.ClientSession:
    """Connections for a client that would try one URL for ever, though Slack takes each but once."""

    async def forget(*_: object) -> None:
        client.wss_uri = None  # so it asks for another, should this one not connect

    trace = aiohttp.TraceConfig()
    trace.on_request_start.append(forget)
    return aiohttp.ClientSession(trace_configs=[trace])


@asynccontextmanager
async def _listening(settings: BotSettings, bolt: AsyncApp) -> AsyncIterator[str]:
    runner = web.AppRunner(bolt.web_app(PATH), access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        await _bind(runner, settings)
        yield f"http://{settings.slack_host}:{runner.addresses[0][1]}{PATH}"
    finally:
        await runner.cleanup()


async def _bind(runner: web.AppRunner, settings: BotSettings) -> None:
    try:
        await web.TCPSite(runner, settings.slack_host, settings.slack_port).start()
    except OSError as error:
        if error.errno not in (errno.EADDRINUSE, errno.EACCES, errno.EADDRNOTAVAIL):
            raise
        raise SetupError(
            f"Cannot listen for Slack's requests on {settings.slack_host}:{settings.slack_port} ({error.strerror}). "
            "Set DARKROOM_SLACK_PORT to a free port."
        ) from error

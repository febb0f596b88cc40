"""The Discord connector: gateway connection, leader election, registration of commands, events."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import discord
import yarl
from discord.gateway import DiscordWebSocket
from discord.http import Route
from tenacity import AsyncRetrying, RetryCallState, before_sleep_log, wait_random_exponential

from bot.app import Darkroom
from bot.commands.departures import Departures
from bot.connectors.discord.errors import chat_error, chat_errors, retry_after_s
from bot.connectors.discord.inbound import InteractionHandler
from bot.connectors.discord.members import DiscordMembers
from bot.connectors.discord.poster import DiscordPoster
from bot.connectors.discord.rate_limit import RateLimitGate
from bot.connectors.discord.render import render
from bot.connectors.discord.replies import ReplyHandler
from bot.connectors.discord.responder import DiscordResponder
from bot.connectors.discord.slash_commands import command_definitions, digest, help_reply
from bot.delivery.follower import Follower
from bot.delivery.front_end_failure import ServeAgain
from bot.delivery.leader_election import LeaderLock, first_completed
from bot.delivery.posts import BotRefused, ChatRefused, ChatTrouble, UnknownTrouble
from bot.photos.fetch import FileHosts
from storage.errors import SetupError, StoreError
from storage.service_errors import SERVICE_ERRORS, reason_of
from storage.settings.bot import BotSettings

log = logging.getLogger(__name__)

API = "https://discord.com/api/v10"
CDN = ("cdn.discordapp.com", "media.discordapp.net")  # where people's files are
BAD_TOKEN = "Discord does not accept DISCORD_TOKEN. docs/discord.md says where to copy it from."  # noqa: S105
ASK_AGAIN_S = 5.0
Ready = Callable[[str], None]


async def serve(settings: BotSettings, redis_url: str, ready: Ready) -> None:
    """Serve Discord until cancelled; `ready` is called once it does. Raises SetupError in a sentence.

    Of several processes with one token one leads; the others stand by and take over within seconds. What discord.py can
    wait for while it is connected, it does.
    """
    use_api(settings.discord_api_url)
    app = await Darkroom.open(settings, redis_url)
    again = ServeAgain()
    retrying = AsyncRetrying(
        retry=again, wait=_backoff_s, reraise=True, before_sleep=before_sleep_log(log, logging.WARNING)
    )

    def is_ready(sentence: str) -> None:
        again.works()
        ready(sentence)

    try:
        while True:
            await retrying(_lead_once, app, is_ready)
    except UnknownTrouble as error:
        raise SetupError(f"Discord gave an unknown answer: {error}") from error
    except (ChatTrouble, ChatRefused) as error:
        raise SetupError(f"Discord does not let me serve: {error}") from error
    except SERVICE_ERRORS as error:
        raise SetupError(reason_of(error)) from error
    finally:
        await app.close()


def _backoff_s(state: RetryCallState) -> float:
    """As long as Discord, or what stands before it, asks for; else exponentially longer."""
    error = state.outcome.exception() if state.outcome else None
    delay_s = retry_after_s(error) if error else None
    return wait_random_exponential(1, 60)(state) if delay_s is None else delay_s


def use_api(url: str) -> None:
    """Send discord.py to another address of Discord's API; what its path lacks is the usual."""
    path = urlsplit(url).path.strip("/")
    missing = {"": "/api/v10", "api": "/v10"}.get(path, "")
    Route.BASE = url.rstrip("/") + missing if url else API


async def _lead_once(app: Darkroom, ready: Ready) -> None:
    """Wait to be elected leader, and serve while this process is."""
    token = app.settings.discord_token
    assert token
    bot = DiscordBot(app, ready)
    try:
        async with chat_errors():
            await bot.login(token.get_secret_value())
        assert bot.application_id
        lead = LeaderLock(app.redis, f"discord:{bot.application_id}")
        await lead.wait()
        try:
            await first_completed(bot.connected(), lead.lost(), bot.until_refused())
        finally:
            await bot.stop()
            await lead.resign()
    except discord.LoginFailure:
        raise SetupError(BAD_TOKEN) from None
    except (discord.HTTPException, discord.RateLimited, discord.GatewayNotFound) as error:
        raise chat_error(error) from error
    finally:
        await bot.close()


class DiscordBot(discord.AutoShardedClient):
    """The connection to Discord: as many shards as it recommends, and no more than it must hear."""

    def __init__(self, app: Darkroom, ready: Ready) -> None:
        discord.VoiceClient.warn_nacl = discord.VoiceClient.warn_dave = False  # we do not speak
        gate = RateLimitGate()
        super().__init__(
            # To greet and to know roles; of messages Discord gives us the text only where they mention us.
            intents=discord.Intents(guilds=True, guild_messages=True, dm_messages=True),
            allowed_mentions=discord.AllowedMentions.none(),
            member_cache_flags=discord.MemberCacheFlags.none(),
            chunk_guilds_at_startup=False,
            max_messages=None,
            max_ratelimit_timeout=30.0,  # longer waits are the follower's
            http_trace=gate.trace(lambda: self.http.user_agent),
        )
        self.gate = gate
        self.app, self._say_ready = app, ready
        self.poster = DiscordPoster(self, app.store)
        self.follower = Follower(app, self.poster)
        self.responder = DiscordResponder(app, self.follower, self.poster, FileHosts(CDN, app.settings.discord_api_url))
        self.interactions = InteractionHandler(app, self.responder)
        self.replies = ReplyHandler(app, self.follower, self.poster)
        self.departures = Departures(app, DiscordMembers(self))
        self._shards_there: set[int] = set()
        self._event_tasks: set[asyncio.Task[None]] = set()  # what is being done for events

    async def until_refused(self) -> None:
        """Wait until Discord does not accept our token any more; raises SetupError then, with the start's sentence."""
        while True:
            await self.gate.token_refused.wait()
            # Cleared before asking, so that a refusal that comes meanwhile is not lost.
            self.gate.token_refused.clear()
            try:
                async with chat_errors():
                    await self.http.request(Route("GET", "/users/@me"))
            except BotRefused:
                raise SetupError(BAD_TOKEN) from None
            except (ChatRefused, ChatTrouble) as error:
                log.warning("whether Discord accepts the token is not known yet: %s", error)
                await asyncio.sleep(ASK_AGAIN_S)
                self.gate.token_refused.set()

    async def connected(self) -> None:
        """Serve: register commands, resume open posts, handle events. Raises SetupError in a sentence."""
        if self.app.settings.discord_api_url:
            # discord.py would go to Discord's own gateway when a session is lost.
            _, gateway, _ = await self.http.get_bot_gateway()
            DiscordWebSocket.DEFAULT_GATEWAY = yarl.URL(gateway)
        await self._register()
        await self.follower.resume()
        self._look_for_departures()
        try:
            await self.connect()
        except discord.ConnectionClosed as error:
            raise SetupError(BAD_TOKEN if error.code == 4004 else f"Discord closed the connection: {error}") from error

    def _look_for_departures(self) -> None:
        task = asyncio.create_task(self.departures.forever())
        self._event_tasks.add(task)
        task.add_done_callback(self._event_tasks.discard)

    async def stop(self) -> None:
        """Stop following what is under way."""
        await self.follower.close()

    async def close(self) -> None:
        """Disconnect; what was heard and is not answered by now is let go of, before queue and store are closed."""
        await super().close()
        for task in self._event_tasks:
            task.cancel()
        await asyncio.gather(*self._event_tasks, return_exceptions=True)
        await self.responder.close()  # now that nothing fetches any more

    async def _register(self) -> None:
        """Register our commands with Discord if they have changed: it takes that a few times a day."""
        assert self.application_id
        known = f"darkroom:discord:commands:{self.application_id}"
        # Discord limits how many commands are created a day (200): a bot in a restart loop must not use them up.
        if (await self.app.redis.get(known) or b"").decode() == digest() and await self._all_there():
            return
        try:
            await self.http.bulk_upsert_global_commands(self.application_id, command_definitions())
            await self.app.redis.set(known, digest())
        except (discord.HTTPException, discord.RateLimited) as error:
            log.error("the commands could not be registered, so the previous ones stay: %s", error)

    async def _all_there(self) -> bool:
        """Whether Discord still has the commands that we registered; somebody else may have changed them."""
        assert self.application_id
        try:
            there = await self.http.get_global_commands(self.application_id)
        except (discord.HTTPException, discord.RateLimited) as error:
            log.info("Discord does not say which commands it knows: %s", error)
            return True
        return {command["name"] for command in command_definitions()} <= {command["name"] for command in there}

    async def on_shard_connect(self, shard: int) -> None:
        """Say that we serve, when the last shard is connected for the first time."""
        if shard in self._shards_there:
            return
        self._shards_there.add(shard)
        if len(self._shards_there) == self.shard_count and self.user:
            shards = "" if self.shard_count == 1 else f", on {self.shard_count} shards"
            self._say_ready(f"Darkroom is on Discord as {self.user.name}{shards}.")

    async def on_ready(self) -> None:
        """Record which servers we are in (again)."""
        try:
            await self._while_open(self.departures.still_here())
        except StoreError as error:
            log.warning("which servers we are in again is seen later: %s", error)

    async def on_interaction(self, interaction: discord.Interaction) -> None:
        """Somebody uses us."""
        await self._while_open(self.interactions.handle(interaction))

    async def on_message(self, message: discord.Message) -> None:
        """Somebody wrote something: perhaps a reply to an answer of ours."""
        if self.user:
            await self._while_open(self.replies.hear(message, self.user.id))

    async def on_guild_join(self, guild: discord.Guild) -> None:
        """Say hello in a new server, where we may."""
        await self._while_open(self.departures.space_joined(f"discord:{guild.id}"))
        await self._while_open(self._greet(guild))

    async def on_guild_remove(self, guild: discord.Guild) -> None:
        """Note that we were removed from a server: what is of it goes after a grace."""
        await self._while_open(self.departures.space_left(f"discord:{guild.id}"))

    async def _while_open(self, work: Coroutine[Any, Any, None]) -> None:
        """Do what an event asks for, unless we are closed before it is done."""
        if self.is_closed():
            return work.close()
        task = asyncio.create_task(work)
        self._event_tasks.add(task)
        task.add_done_callback(self._event_tasks.discard)
        with suppress(asyncio.CancelledError):
            await task

    async def _greet(self, guild: discord.Guild) -> None:
        # After a reconnect the gateway may send this event again, and each would greet once more.
        if not await self.app.first(f"discord:hello:{guild.id}"):
            return
        channels = [guild.system_channel, *guild.text_channels]
        open_ones = (c for c in channels if c and c.permissions_for(guild.me).send_messages)
        if channel := next(open_ones, None):
            message = await render(self.app.store, help_reply())
            try:
                async with chat_errors():
                    await channel.send(
                        f"Hello! I learn your dog, mug or mascot. {message.content}", embeds=message.embeds
                    )
            except (ChatRefused, ChatTrouble) as error:
                log.info("no hello in server %s: %s", guild.id, error)

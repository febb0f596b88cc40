"""Discord's errors: outages, permanent refusals and rate limits, by code, and their sentences.

The codes are those of https://discord.com/developers/docs/topics/opcodes-and-status-codes. One that is not here is
judged by its status; what that does not tell either is unknown, and tried for a bounded time.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import discord

from bot.delivery.error_classes import OUTAGE, UNKNOWN, ErrorClass, parse_retry_after, permanent
from bot.delivery.posts import BotRefused, ChannelClosed, ChatRefused, ChatTrouble, MessageGone, NotTaken, RateLimited

DONE_BEFORE = 40060  # an interaction is acknowledged already
RETRY_AFTER_S = 5.0  # where Discord limits us, but does not say for how long

REFUSED_BOT = "Discord does not let me do this any more. Whoever runs this bot can see why with `darkroom doctor`."


class TokenExpired(ChatRefused):
    """The interaction's token is over."""


class UnknownMember(ChannelClosed):
    """The person is no member of the server, or not on Discord any more."""


class ThreadArchived(MessageGone, ChannelClosed):
    """The message is in an archived thread, which a new one opens again, unless it is locked as well."""


OUTAGES = (
    # rate limits: of slow mode, of channel and server, of private messages, of edits of old messages, of resources
    *(20016, 20022, 20028, 20029, 40003, 30046, 31002),
    *(40004, 40006, 130000),  # sending or a feature switched off for a while, the API overloaded
    40333,  # Cloudflare, which stands before Discord, blocks our requests
    40062,  # being rate limited
)
TABLE: dict[int, ErrorClass] = {
    **dict.fromkeys(OUTAGES, OUTAGE),
    **dict.fromkeys((10015, 10062, 50027), permanent(TokenExpired)),  # unknown webhook or interaction, invalid token
    **dict.fromkeys((10008, 50005, 50021, 160002), permanent(MessageGone)),  # 160002: may not answer to it
    50083: permanent(ThreadArchived),
    # empty, too large, malformed, too many files, a kind or size of file that is not taken, or blocked by moderation
    **dict.fromkeys((50006, 40005, 50045, 50035, 30015, 50046, 50109, 50110, 50138, 50146), permanent(NotTaken)),
    **dict.fromkeys((20009, 20031, 40094, 50068, 50101, 200000, 200001, 240000), permanent(NotTaken)),
    **dict.fromkeys((40001, 40002, 50014, 50025), permanent(BotRefused, REFUSED_BOT)),
    10003: permanent(ChannelClosed),  # the channel is gone
    10004: permanent(ChannelClosed),  # the server is gone
    **dict.fromkeys((10007, 10013), permanent(UnknownMember)),
    50001: permanent(ChannelClosed, "I cannot see the channel where you asked."),
    50013: permanent(ChannelClosed, "I may not write in the channel where you asked."),
    50007: permanent(ChannelClosed),  # the person takes no private messages
    50278: permanent(ChannelClosed),  # nor of bots that share no server with them
    50008: permanent(ChannelClosed),
    50024: permanent(ChannelClosed),
    40007: permanent(ChannelClosed),
    50009: permanent(ChannelClosed, "This server asks for a higher verification level than I have."),
    50033: permanent(ChannelClosed),  # who is to be written to cannot be
    60003: permanent(ChannelClosed, "This server asks for two-factor authentication of whoever runs me."),
    **dict.fromkeys((30033, 40058, 40061, 40067, 50600, 160006), permanent(ChannelClosed)),
    160005: permanent(ChannelClosed, "The thread where you asked is locked."),
}


def error_class_of(error: BaseException) -> ErrorClass:
    """Return what an error of discord.py means."""
    if not isinstance(error, discord.HTTPException):
        return OUTAGE
    if error.code in TABLE:
        return TABLE[error.code]
    if error.status in (400, 413):
        return permanent(NotTaken)
    if error.status == 401:
        return permanent(BotRefused, REFUSED_BOT)
    return OUTAGE if error.status == 429 or error.status >= 500 else UNKNOWN


def is_done(error: discord.HTTPException) -> bool:
    """Whether an acknowledgement fails because a first try was heard, of which only the answer was lost."""
    return error.code == DONE_BEFORE


def retry_after_s(error: BaseException) -> float | None:
    """How long an answer, or that which an error came of, asks to wait; None if it does not say."""
    if isinstance(error, discord.RateLimited):
        return error.retry_after
    if isinstance(error, discord.HTTPException):
        return parse_retry_after(error.response.headers.get("Retry-After"))
    if isinstance(error, aiohttp.ClientResponseError):  # where a connection to the gateway is refused
        return parse_retry_after(error.headers.get("Retry-After")) if error.headers else None
    return retry_after_s(error.__cause__) if error.__cause__ else None


@asynccontextmanager
async def chat_errors() -> AsyncIterator[None]:
    """Raise what Discord's errors mean to a message, in place of those that discord.py raises."""
    try:
        yield
    except (discord.RateLimited, discord.HTTPException) as error:
        raise chat_error(error) from error
    except (aiohttp.ClientError, OSError) as error:  # a TimeoutError is an OSError
        raise ChatTrouble(str(error) or type(error).__name__) from error
    except RuntimeError as error:  # of aiohttp, whose session is closed already when we are told to stop
        raise ChatTrouble(str(error)) from error
    except KeyError as error:  # of discord.py, where a 429 does not say for how long
        raise RateLimited(RETRY_AFTER_S, stated=False) from error
    except (TypeError, ValueError) as error:  # of discord.py, where a page comes instead of an answer
        raise ChatTrouble(f"the answer is not understood: {error!r}") from error


def chat_error(error: discord.DiscordException) -> ChatTrouble | ChatRefused:
    """Return what an error of discord.py is to the rest of the bot."""
    if isinstance(error, discord.GatewayNotFound) and isinstance(error.__cause__, discord.HTTPException):
        error = error.__cause__
    if isinstance(error, discord.RateLimited):
        return RateLimited(error.retry_after)
    error_class = error_class_of(error)
    if error_class is OUTAGE and isinstance(error, discord.HTTPException) and error.status == 429:
        delay_s = retry_after_s(error)
        return RateLimited(RETRY_AFTER_S if delay_s is None else delay_s, stated=delay_s is not None)
    return error_class.error(error)

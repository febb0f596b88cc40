"""Slack's errors: outages, permanent refusals and rate limits, by code, and their sentences.

The table is `errors.toml`. A code that is not there is unknown: the call is tried for a bounded time.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import aiohttp
from slack_sdk.errors import SlackApiError, SlackClientError

from bot.delivery.error_classes import OUTAGE, UNKNOWN, ErrorClass, parse_retry_after, permanent
from bot.delivery.posts import (
    BotRefused,
    ChannelClosed,
    ChatRefused,
    ChatTrouble,
    MessageGone,
    NotTaken,
    RateLimited,
)
from storage.data_files import read_toml

RETRY_AFTER_S = 5.0  # after a 429 that does not say how long


class BlocksRefused(NotTaken):
    """Slack does not take the blocks, mostly because it has not finished with a picture in them."""


class FileGone(NotTaken):
    """The file is deleted already."""


class UnknownUser(ChannelClosed):
    """There is no such person in the workspace."""


class TriggerOver(NotTaken):
    """The time in which a form can be opened is over."""


class TriggerUsed(TriggerOver):
    """A form was opened before with what lets one be opened once."""


RAISED = (
    *(BotRefused, ChannelClosed, ChatTrouble, MessageGone, NotTaken),
    *(BlocksRefused, FileGone, TriggerOver, TriggerUsed, UnknownUser),
)


def _table() -> dict[str, ErrorClass]:
    raised, table = {kind.__name__: kind for kind in RAISED}, dict[str, ErrorClass]()
    for row in read_toml("bot.connectors.slack", "errors.toml")["meaning"]:
        kind = raised[row["raises"]]
        error_class = OUTAGE if kind is ChatTrouble else permanent(kind, row.get("says", ""))
        table |= dict.fromkeys(row["codes"], error_class)
    return table


TABLE = _table()


def error_class_of(error: BaseException) -> ErrorClass:
    """Return what an error of a call to Slack means."""
    if isinstance(error, SlackApiError) and (name := code(error)):
        return TABLE.get(name, UNKNOWN)
    return _by_status(status(error))


def _by_status(answered: int) -> ErrorClass:
    """The meaning of an answer without a code of Slack's: a status of HTTP, 0 where there was no answer at all."""
    if answered == 413:
        return permanent(NotTaken)
    # A page with status 200 is what another site says that stands between: that passes like an outage.
    return OUTAGE if answered < 400 or answered in (408, 429) or answered >= 500 else UNKNOWN


@contextmanager
def chat_errors() -> Iterator[None]:
    """Raise what Slack's errors mean to a message, in place of those that its client raises."""
    try:
        yield
    except (SlackClientError, aiohttp.ClientError, TimeoutError, OSError) as error:
        raise _translated(error) from error


def code(error: BaseException | None) -> str:
    """Slack's name of an error, like `channel_not_found`; empty for answers that are not Slack's."""
    data: Any = getattr(error.response, "data", error.response) if isinstance(error, SlackApiError) else None
    return str(data.get("error", "")) if isinstance(data, dict) else ""


def status(error: BaseException | None) -> int:
    """The HTTP status of an answer, as slack_sdk or aiohttp tell it; 0 where there is none."""
    response: Any = getattr(error, "response", None)
    if response is None:
        # of the server that takes the bytes of files, slack_sdk tells the status in words alone
        _, _, digits = str(error).partition("(status: ")
        return int(digits[:3]) if digits[:3].isdigit() else 0
    return int(getattr(response, "status_code", 0) or getattr(response, "status", 0))


def answered(error: Exception) -> bool:
    """Whether it was Slack that answered, be it that it has trouble: not so where there is nothing, or another site."""
    return bool(code(error.__cause__)) or status(error.__cause__) == 429 or status(error.__cause__) >= 500


def _translated(error: Exception) -> ChatTrouble | ChatRefused:
    name, error_class = code(error), error_class_of(error)
    if name in ("ratelimited", "rate_limited") or status(error) == 429:
        delay_s = _retry_after_s(error)
        return RateLimited(RETRY_AFTER_S if delay_s is None else delay_s, stated=delay_s is not None)
    if name:
        return error_class.error(name)
    words = error if isinstance(error, SlackApiError) else f"Slack does not answer: {type(error).__name__} {error}"
    return error_class.error(words)


def _retry_after_s(error: Exception) -> float | None:
    headers: Any = getattr(getattr(error, "response", None), "headers", None) or {}
    return parse_retry_after(headers.get("Retry-After"))

"""Whether a front end that failed serves again: the tables of chat, queue and store decide."""

import aiohttp
import discord
import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoPermissionError
from slack_sdk.errors import SlackApiError

from bot.connectors.discord.errors import chat_error
from bot.connectors.slack.errors import chat_errors
from bot.delivery.error_classes import parse_retry_after
from bot.delivery.front_end_failure import front_end_failure
from storage.errors import SetupError, StoreError
from storage.failures import Failure

OUTAGE, PERMANENT, UNKNOWN = Failure.OUTAGE, Failure.PERMANENT, Failure.UNKNOWN


class Answer:
    """An answer of Discord's, as discord.py keeps it."""

    reason = ""

    def __init__(self, status: int) -> None:
        self.status = status
        self.headers = {"Retry-After": "inf"}


def slack(code: str) -> Exception:
    """What the rest of the bot hears of an error of Slack's."""
    try:
        with chat_errors():
            raise SlackApiError("", {"ok": False, "error": code})
    except Exception as error:
        return error


def discords(status: int) -> Exception:
    """What the rest of the bot hears of an answer of Discord's."""
    return chat_error(discord.HTTPException(Answer(status), ""))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (StoreError("it is away"), OUTAGE),
        (StoreError("it refuses", PERMANENT), PERMANENT),
        (StoreError("it is strange", UNKNOWN), UNKNOWN),
        (RedisConnectionError("Connection refused"), OUTAGE),
        (NoPermissionError("no"), PERMANENT),
        (aiohttp.ClientError(), OUTAGE),
        (slack("internal_error"), OUTAGE),
        (slack("not_in_channel"), PERMANENT),
        (slack("a_code_of_next_year"), UNKNOWN),
        (discords(502), OUTAGE),
        (discords(429), OUTAGE),
        (discords(400), PERMANENT),
        (discords(418), UNKNOWN),
        (chat_error(discord.GatewayNotFound()), OUTAGE),
        (SetupError("it has its sentence"), None),
        (KeyError("a bug"), None),
    ],
)
def test_kinds_of_failure(error: Exception, failure: Failure | None) -> None:
    assert front_end_failure(error) == failure


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("600", 600.0), ("-5", 0.0), ("inf", 86400.0), ("1e300", 86400.0), ("nan", None), ("-inf", 0.0), ("soon", None)],
)
def test_what_retry_after_tells_is_finite_and_bounded(header: str, seconds: float | None) -> None:
    assert parse_retry_after(header) == seconds


def test_a_date_far_ahead_is_bounded_as_well() -> None:
    assert parse_retry_after("Fri, 31 Dec 9999 23:59:59 GMT") == 86400.0

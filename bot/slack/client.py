"""Slack's client as we use it, and what its errors mean."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import aiohttp
from slack_sdk.errors import SlackApiError, SlackClientError
from slack_sdk.web.async_client import AsyncWebClient

from bot.following.posts import ChannelClosed, ChatTrouble, MessageGone, TooFast
from storage.errors import SetupError
from storage.settings import Settings

TIMEOUT_S = 30.0
PATIENCE_S = 5.0  # after a 429 that does not say how long

GONE = {"message_not_found", "thread_not_found", "cant_update_message", "cant_delete_message", "edit_window_closed"}
CLOSED = {
    "channel_not_found",
    "is_archived",
    "not_in_channel",
    "user_not_in_channel",
    "restricted_action",
    "no_permission",
    "user_not_found",
    "user_disabled",
    "cannot_dm_bot",
}
REFUSALS = {  # of a token, until somebody does something about it
    "invalid_auth",
    "not_authed",
    "account_inactive",
    "token_revoked",
    "token_expired",
    "missing_scope",
    "not_allowed_token_type",
    "no_permission",
    "access_denied",
    "org_login_required",
    "ekm_access_denied",
    "enterprise_is_restricted",
    "team_access_not_granted",
    "two_factor_setup_required",
}


class BlocksRefused(ChatTrouble):
    """Slack does not take the blocks, mostly because it has not finished with a picture in them."""


def session() -> aiohttp.ClientSession:
    """The connections that all calls share."""
    return aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT_S))


def web_client(settings: Settings, http: aiohttp.ClientSession | None) -> AsyncWebClient:
    """A client with the bot's token; raises SetupError if there is none.

    It tries nothing again by itself, since it would post twice what arrived but was not answered.
    """
    if not settings.slack_bot_token:
        raise SetupError("SLACK_BOT_TOKEN is not set; docs/slack.md says where Slack shows it.")
    url = settings.slack_api_url or AsyncWebClient.BASE_URL
    token = settings.slack_bot_token.get_secret_value()
    return AsyncWebClient(token=token, base_url=url, session=http, retry_handlers=[])


@contextmanager
def meaning() -> Iterator[None]:
    """Raise what Slack's errors mean to a post, in place of those that its client raises."""
    try:
        yield
    except SlackApiError as error:
        raise _meaning(error) from error
    except (SlackClientError, aiohttp.ClientError, TimeoutError, OSError) as error:
        raise ChatTrouble(f"Slack does not answer: {type(error).__name__} {error}") from error


def code(error: SlackApiError) -> str:
    """Slack's name of an error, like `channel_not_found`; empty for answers that are not Slack's."""
    data: Any = getattr(error.response, "data", error.response)
    return str(data.get("error", "")) if isinstance(data, dict) else ""


def refused(error: Exception) -> bool:
    """Whether Slack refuses a token, which will not pass by itself."""
    return isinstance(error.__cause__, SlackApiError) and code(error.__cause__) in REFUSALS


def answered(error: Exception) -> bool:
    """Whether it was Slack that answered, be it that it has trouble: not so where there is nothing, or another site."""
    cause = error.__cause__
    return isinstance(cause, SlackApiError) and (bool(code(cause)) or _status(cause) == 429 or _status(cause) >= 500)


def _status(error: SlackApiError) -> int:
    """The HTTP status, of Slack's answer or of aiohttp's where that could not be read."""
    return int(getattr(error.response, "status_code", 0) or getattr(error.response, "status", 0))


def _meaning(error: SlackApiError) -> Exception:
    name = code(error)
    if name in ("ratelimited", "rate_limited") or _status(error) == 429:
        return TooFast(_retry_after_s(error))
    if name in GONE:
        return MessageGone(name)
    if name in CLOSED:
        return ChannelClosed(name)
    return BlocksRefused(name) if name.startswith("invalid_blocks") else ChatTrouble(name or str(error))


def _retry_after_s(error: SlackApiError) -> float:
    try:
        return float(error.response.headers["Retry-After"])
    except (KeyError, ValueError, AttributeError):
        return PATIENCE_S

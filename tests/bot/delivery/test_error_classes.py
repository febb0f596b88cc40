"""The tables of what Slack and Discord answer: an outage, for good, or unknown."""

import json
from types import SimpleNamespace
from typing import Any

import discord
import pytest
from slack_sdk.errors import SlackApiError, SlackRequestError

from bot.connectors.discord import errors as discord_errors
from bot.connectors.slack import errors as slack_errors
from bot.delivery.posts import BotRefused, ChannelClosed, ChatTrouble, MessageGone, NotTaken, UnknownTrouble
from storage.failures import Failure
from tests.servers.slack import methods

OURS = [name for name in methods.METHODS if name != "apps.connections.open"]


def slack_error(code: str, status: int = 200) -> SlackApiError:
    data = {"ok": False, "error": code} if code else {}
    return SlackApiError("it failed", SimpleNamespace(data=data, status_code=status, headers={}))


def discord_error(status: int, code: int = 0, **headers: str) -> discord.HTTPException:
    response: Any = SimpleNamespace(status=status, reason="", headers=headers)
    return discord.HTTPException(response, {"code": code, "message": "it failed"} if code else "<html>")


@pytest.mark.parametrize(
    ("codes", "raises"),
    [
        ("is_archived not_in_channel channel_not_found restricted_action_read_only_channel", ChannelClosed),
        ("restricted_action restricted_action_thread_locked messages_tab_disabled no_permission", ChannelClosed),
        ("ekm_access_denied posting_to_general_channel_denied missing_scope cannot_dm_bot", ChannelClosed),
        ("message_not_found cannot_reply_to_message edit_window_closed", MessageGone),
        ("invalid_blocks msg_too_long too_many_attachments no_text file_uploads_disabled", NotTaken),
        ("slack_connect_canvas_sharing_blocked as_user_not_supported unknown_method", NotTaken),
        ("account_inactive token_revoked team_access_not_granted org_login_required invalid_auth", BotRefused),
        ("ratelimited internal_error fatal_error service_unavailable team_added_to_org", ChatTrouble),
        ("a_code_of_next_year", UnknownTrouble),
    ],
)
def test_what_slacks_codes_mean(codes: str, raises: type[Exception]) -> None:
    for code in codes.split():
        with pytest.raises(raises) as caught, slack_errors.chat_errors():
            raise slack_error(code)
        assert raises is not ChatTrouble or not isinstance(caught.value, UnknownTrouble | BotRefused)


def test_what_slack_answers_without_a_code() -> None:
    verdicts = {
        status: slack_errors.error_class_of(slack_error("", status)).failure for status in (200, 403, 413, 429, 503)
    }
    away, permanent = Failure.OUTAGE, Failure.PERMANENT
    assert verdicts == {200: away, 403: Failure.UNKNOWN, 413: permanent, 429: away, 503: away}
    upload = SlackRequestError("Failed to upload a file: (status: 413, body: too large, filename: a.png)")
    assert slack_errors.error_class_of(upload).raises is NotTaken
    assert slack_errors.error_class_of(TimeoutError()).failure is Failure.OUTAGE


def test_no_code_that_slack_describes_is_unknown() -> None:
    if not methods.SPEC.exists():
        pytest.skip("DARKROOM_SLACK_SPEC names no file: slack_web_openapi_v2.json of slackapi/slack-api-specs")
    paths = json.loads(methods.SPEC.read_text())["paths"]
    told = [
        code
        for method in OURS
        for operation in paths.get(f"/{method}", {}).values()
        for answer in operation["responses"].values()
        for code in answer.get("schema", {}).get("properties", {}).get("error", {}).get("enum", [])
    ]
    assert told and sorted(set(told) - slack_errors.TABLE.keys()) == []


@pytest.mark.parametrize(
    ("status", "codes", "raises"),
    [
        (403, (50001, 50013, 50007, 160005, 40007, 50009, 60003), ChannelClosed),
        (404, (10003, 10004), ChannelClosed),
        (404, (10008,), MessageGone),
        (400, (50035, 50006, 200000, 999999), NotTaken),
        (413, (40005, 0), NotTaken),
        (400, (50083,), discord_errors.ThreadArchived),
        (404, (10015, 10062), discord_errors.TokenExpired),
        (401, (50027,), discord_errors.TokenExpired),
        (401, (0, 50014), BotRefused),
        (429, (0, 30046, 20016, 20029), ChatTrouble),
        (403, (40333,), ChatTrouble),
        (502, (0,), ChatTrouble),
        (403, (0, 999999), UnknownTrouble),
        (404, (0,), UnknownTrouble),
    ],
)
async def test_what_discords_codes_mean(status: int, codes: tuple[int, ...], raises: type[Exception]) -> None:
    for code in codes:
        with pytest.raises(raises) as caught:
            async with discord_errors.chat_errors():
                raise discord_error(status, code)
        assert raises is not ChatTrouble or not isinstance(caught.value, UnknownTrouble | BotRefused)


@pytest.mark.parametrize(("told", "wait_s"), [("600", 600), ("Thu, 01 Jan 1970 00:00:00 GMT", 0), ("soon", None)])
def test_how_long_to_wait(told: str, wait_s: float | None) -> None:
    error = discord.GatewayNotFound()
    error.__cause__ = discord_error(429, **{"Retry-After": told})
    assert discord_errors.retry_after_s(error) == wait_s

"""Slack's errors: outages, permanent refusals and rate limits, by code, and their sentences.

The codes are those of https://docs.slack.dev/reference/methods and of each method's page there. One that is not here is
unknown: it is tried for a bounded time.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import aiohttp
from slack_sdk.errors import SlackApiError, SlackClientError

from bot.delivery.error_classes import OUTAGE, UNKNOWN, ErrorClass, permanent, seconds_told
from bot.delivery.posts import (
    BotRefused,
    ChannelClosed,
    ChatRefused,
    ChatTrouble,
    MessageGone,
    NotTaken,
    TooFast,
)

PATIENCE_S = 5.0  # after a 429 that does not say how long

NOT_INVITED = "I may not write in this channel. Invite me with /invite, or ask me in a direct message."
ELSEWHERE = "Ask me in another channel or in a direct message."
NO_SCOPE = "The app lacks a permission that this needs. Who runs me can see which with `darkroom doctor`."
REFUSED_BOT = "Slack does not let me do this any more. Who runs me can see why with `darkroom doctor`."


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


OUTAGES = """
    ratelimited rate_limited message_limit_exceeded internal_error fatal_error service_unavailable request_timeout
    team_added_to_org external_channel_migrating update_failed timezone_count_failed
"""
GONE = """
    message_not_found thread_not_found cant_update_message cant_delete_message edit_window_closed
    cant_broadcast_message cannot_reply_to_message restricted_action_non_threadable_channel
    compliance_exports_prevent_deletion
"""
CONTENT = """
    msg_too_long msg_blocks_too_long no_text too_many_attachments
    too_many_contact_cards invalid_attachments metadata_too_large invalid_metadata_format invalid_metadata_schema
    metadata_must_be_sent_from_app markdown_text_conflict attachment_payload_limit_exceeded
    invalid_arguments invalid_arg_name invalid_arg_value invalid_array_arg invalid_charset invalid_form_data
    invalid_json json_not_object invalid_post_type missing_post_type missing_charset superfluous_charset too_large
    file_uploads_disabled file_upload_size_restricted file_type_not_allowed blocked_file_type storage_limit_reached
    slack_connect_file_upload_sharing_blocked slack_connect_blocked_file_type slack_connect_clip_sharing_blocked
    slack_connect_file_link_sharing_blocked file_uploads_except_images_disabled malware_detected
    view_too_large file_not_shared not_visible
    invalid_ts_latest invalid_ts_oldest upgrade_required upgrade_require cant_delete_file
"""
BOT = """
    invalid_auth not_authed account_inactive token_revoked token_expired not_allowed_token_type
    org_login_required enterprise_is_restricted team_access_not_granted two_factor_setup_required access_denied
    accesslimited forbidden_team team_disabled app_uninstalled
"""
PLACES = {
    "channel_not_found": NOT_INVITED,
    "not_in_channel": NOT_INVITED,
    "user_not_in_channel": "",
    "invalid_channel": "",
    "is_archived": f"This channel is archived, so I cannot write in it. {ELSEWHERE}",
    "channel_is_archived": f"This channel is archived, so I cannot write in it. {ELSEWHERE}",
    "is_inactive": f"This channel is frozen, so I cannot write in it. {ELSEWHERE}",
    "restricted_action": f"A setting of this workspace does not let me write here. {ELSEWHERE}",
    "restricted_action_read_only_channel": f"This channel is read-only for me. {ELSEWHERE}",
    "restricted_action_thread_only_channel": f"This channel takes messages in threads only. {ELSEWHERE}",
    "restricted_action_thread_locked": f"This thread is locked, so I cannot write in it. {ELSEWHERE}",
    "thread_locked": f"This thread is locked, so I cannot write in it. {ELSEWHERE}",
    "posting_to_general_channel_denied": f"A setting of this workspace does not let me write here. {ELSEWHERE}",
    "messages_tab_disabled": "Messages to this app are switched off, so I cannot write here. Who manages the app "
    "can switch them on (App Home, Messages Tab); or ask me in a channel.",
    "ekm_access_denied": "An administrator of this workspace has suspended posting.",
    "no_permission": f"Slack does not let me write here. {ELSEWHERE}",
    "missing_scope": NO_SCOPE,
    "user_disabled": "",
    "user_not_visible": "",
    "user_is_restricted": "",
    "user_is_ultra_restricted": "",
    "cannot_dm_bot": "",
    "cannot_dm_user": "",
    "user_is_bot": "",
    "users_list_not_supplied": "",
    "not_enough_users": "",
    "too_many_users": "",
    "invalid_user_combination": "",
    "team_not_found": "",
    "channel_type_not_supported": f"Slack does not let me write in a conversation of this kind. {ELSEWHERE}",
    "method_not_supported_for_channel_type": f"Slack does not let me write in a conversation of this kind. {ELSEWHERE}",
}
TABLE: dict[str, ErrorClass] = {
    **dict.fromkeys(OUTAGES.split(), OUTAGE),
    **{name: permanent(MessageGone) for name in GONE.split()},
    **{name: permanent(NotTaken) for name in CONTENT.split()},
    **{name: permanent(FileGone) for name in ("file_not_found", "file_deleted")},
    **{name: permanent(TriggerOver) for name in ("expired_trigger_id", "trigger_expired", "invalid_trigger_id")},
    **{name: permanent(TriggerUsed) for name in ("exchanged_trigger_id", "trigger_exchanged")},
    **{name: permanent(BlocksRefused) for name in ("invalid_blocks", "invalid_blocks_format")},
    **{name: permanent(BotRefused, REFUSED_BOT) for name in BOT.split()},
    **{name: permanent(ChannelClosed, says) for name, says in PLACES.items()},
    "user_not_found": permanent(UnknownUser),
}


def verdict(error: BaseException) -> ErrorClass:
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
def meaning() -> Iterator[None]:
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
    name, error_class = code(error), verdict(error)
    if name in ("ratelimited", "rate_limited") or status(error) == 429:
        delay_s = _retry_after_s(error)
        return TooFast(PATIENCE_S if delay_s is None else delay_s, stated=delay_s is not None)
    if name:
        return error_class.error(name)
    words = error if isinstance(error, SlackApiError) else f"Slack does not answer: {type(error).__name__} {error}"
    return error_class.error(words)


def _retry_after_s(error: Exception) -> float | None:
    headers: Any = getattr(getattr(error, "response", None), "headers", None) or {}
    return seconds_told(headers.get("Retry-After"))

"""Setting Slack up: the app's manifest, made from the commands, and checks that say what to click."""

import json
from collections.abc import AsyncIterator
from typing import Any

from slack_sdk.web.async_client import AsyncWebClient

from bot.connectors.slack.client import session, web_client
from bot.connectors.slack.errors import chat_errors
from bot.connectors.slack.inbound import SHORTCUT
from bot.connectors.slack.slash_commands import GENERAL, VISIBLE, WORDS
from bot.connectors.slack.tokens import APP_PAGE, advice, signing_secret, socket_url
from bot.core.checks import Check, CheckState
from bot.delivery.posts import ChatRefused, ChatTrouble
from storage.errors import SetupError
from storage.settings.bot import BotSettings
from storage.text import shorten

PATH = "/slack/events"
HTTP_EXAMPLE = f"https://darkroom.example{PATH}"
EVENTS = [
    *("app_mention", "app_home_opened", "member_joined_channel", "message.im"),
    *("app_uninstalled", "tokens_revoked"),
]
SCOPES = {
    "commands": "slash commands and the shortcut",
    "chat:write": "answers",
    "chat:write.public": "answers in public channels that it was not invited to",
    "app_mentions:read": "@darkroom train rex dog",
    "files:read": "the photos that people attach",
    "files:write": "pictures",
    "im:history": "direct messages to the bot",
    "im:write": "direct messages where the bot cannot post in the channel",
    "channels:read": "the welcome message when it is invited to a channel",
    "groups:read": "the same in private channels",
    "channels:history": "not announcing a result twice after a crash",
    "groups:history": "the same in private channels",
    "mpim:read": "group messages as separate spaces",
    "users:read": "who is an admin, and may delete and forget; who is a guest or of another organisation",
    "usergroups:read": "subjects shared with a user group",
}
NEEDED = {"commands", "chat:write", "app_mentions:read", "files:read", "files:write"}
ABOUT_MAX = 140  # characters of what Slack shows beside a command


def manifest(http_url: str | None = None) -> dict[str, Any]:
    """The manifest to paste when the app is created: for Socket Mode, or for HTTP requests to `http_url`."""
    url = {"url": http_url} if http_url else {}
    request_url = {"request_url": http_url} if http_url else {}
    options_url = {"message_menu_options_url": http_url} if http_url else {}
    train = VISIBLE["dreambooth train"].summary
    return {
        "display_information": {"name": "Darkroom", "description": "Learns from your photos, and draws."},
        "features": {
            "app_home": {"home_tab_enabled": True, "messages_tab_enabled": True},
            "bot_user": {"display_name": "darkroom", "always_online": True},
            "slash_commands": [{**_slash_command(word), **url} for word in WORDS],
            "shortcuts": [
                {
                    "name": "Train on these photos",
                    "type": "message",
                    "callback_id": SHORTCUT,
                    "description": shorten(train, 150),
                }
            ],
        },
        "oauth_config": {"scopes": {"bot": list(SCOPES)}},
        "settings": {
            "interactivity": {"is_enabled": True, **request_url, **options_url},
            "event_subscriptions": {"bot_events": EVENTS, **request_url},
            "org_deploy_enabled": False,
            "socket_mode_enabled": http_url is None,
            # A rotating token would have to be kept and renewed by whoever runs the bot, under the store's secrets.
            "token_rotation_enabled": False,
        },
    }


def manifest_text(http_url: str | None = None) -> str:
    """The manifest as people paste it."""
    return json.dumps(manifest(http_url), indent=2, ensure_ascii=False)


def _slash_command(word: str) -> dict[str, Any]:
    """How Slack offers a command; `should_escape` lets user groups come with their ids."""
    group = [c for name, c in VISIBLE.items() if f"/{name.split()[0]}" == word]
    # The general word stands for all commands that have no slash command of their own.
    group = group or [c for name, c in VISIBLE.items() if " " not in name and f"/{name}" not in WORDS]
    alone = len(group) == 1 and " " not in group[0].name and word != GENERAL
    names = [command.name.split()[-1] for command in group]
    usage = group[0].usage.removeprefix(word[1:]).strip() if alone else " | ".join(names)
    about = " ".join(command.summary for command in group)
    about = about if len(about) <= ABOUT_MAX else f"{group[0].summary} And the rest of a subject's life."
    return {
        "command": word,
        "description": shorten(about, ABOUT_MAX),
        "usage_hint": shorten(usage, ABOUT_MAX),
        "should_escape": True,
    }


async def checks(settings: BotSettings) -> AsyncIterator[Check]:
    """Look at tokens, scopes and the connection; nothing at all if Slack is not configured."""
    if not settings.slack_bot_token:
        return
    async with session() as http:
        client = web_client(settings, http)
        try:
            with chat_errors():
                # It needs no scope, so a refusal is about the token itself.
                answer = await client.auth_test()
        except (ChatTrouble, ChatRefused) as error:
            yield Check(name="Slack token", state="fail", says=advice("SLACK_BOT_TOKEN", error))
            return
        says = f"{answer['user']} in {answer['team']} ({answer['team_id']})"
        yield Check(name="Slack token", state="ok", says=says)
        yield _scopes(answer.headers)
        yield await _connection(settings, client)


def _scopes(headers: Any) -> Check:
    """Compare the scopes that Slack tells of with those we want."""
    # Slack sends the scopes with every answer, and has no method to ask for them.
    granted = next((value for name, value in headers.items() if name.lower() == "x-oauth-scopes"), "")
    missing = [scope for scope in SCOPES if scope not in [given.strip() for given in granted.split(",")]]
    if not missing:
        return Check(name="Slack scopes", state="ok", says="all there")
    lost = "; ".join(f"{scope} ({SCOPES[scope]})" for scope in missing)
    advice = f"{APP_PAGE} → App Manifest → paste what `darkroom slack --manifest` prints → Reinstall to Workspace."
    state: CheckState = "fail" if NEEDED & set(missing) else "warn"
    return Check(name="Slack scopes", state=state, says=f"missing: {lost}. {advice}")


async def _connection(settings: BotSettings, client: AsyncWebClient) -> Check:
    try:
        if settings.slack_app_token:
            await socket_url(settings, client)
            return Check(name="Slack connection", state="ok", says="Socket Mode")
        signing_secret(settings)
        where = f"http://{settings.slack_host}:{settings.slack_port}{PATH}"
        return Check(name="Slack connection", state="ok", says=f"HTTP: Slack's request URL must lead to {where}")
    except SetupError as error:
        return Check(name="Slack connection", state="fail", says=str(error))
    except ChatTrouble as error:
        return Check(name="Slack connection", state="fail", says=advice("SLACK_APP_TOKEN", error))

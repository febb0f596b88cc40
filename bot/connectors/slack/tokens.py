"""The tokens: what Slack says to them, and what to do where it refuses one."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.web.async_slack_response import AsyncSlackResponse
from tenacity import AsyncRetrying, retry_if_exception_type

from bot.connectors.slack.client import APP_TOKEN, BOT_TOKEN, Client
from bot.connectors.slack.errors import answered, chat_errors, error_class_of
from bot.delivery.posts import ChatRefused, ChatTrouble, UnknownTrouble
from bot.delivery.reliable_poster import RetryDeadline, pause_s
from storage.errors import SetupError
from storage.failures import Failure
from storage.settings.bot import BotSettings

log = logging.getLogger(__name__)

ASK_AGAIN_S = 5.0
APP_PAGE = "https://api.slack.com/apps, your app"
PAGES = {
    BOT_TOKEN: "OAuth & Permissions → Bot User OAuth Token, xoxb-…",
    APP_TOKEN: "Basic Information → App-Level Tokens with the scope connections:write, xapp-…",
}
SOCKET_MODE = "Socket Mode must be on, too: Settings → Socket Mode."


async def who_am_i(client: AsyncWebClient) -> dict[str, str]:
    """Team and user of the bot's token.

    Raises SetupError that says what to do where Slack refuses the token or is not there at all, and ChatTrouble where
    it only cannot say now.
    """
    try:
        answer = await _used(BOT_TOKEN, client.auth_test)
    except ChatTrouble as error:
        # Nothing answers there at all: a wrong URL or no network, which somebody who starts a bot can mend.
        if not answered(error):
            raise SetupError(advice(BOT_TOKEN, error)) from error
        raise
    names = ("team", "team_id", "user_id", "enterprise_id")
    return {name: str(answer[name]) for name in names if answer.get(name)}


async def socket_url(settings: BotSettings, client: AsyncWebClient) -> str:
    """Open a connection for Socket Mode; raises SetupError that says what to click, ChatTrouble where that passes."""
    token = settings.slack_app_token.get_secret_value() if settings.slack_app_token else ""
    return str((await _used(APP_TOKEN, lambda: client.apps_connections_open(app_token=token)))["url"])


async def until_refused(settings: BotSettings, client: Client) -> None:
    """Wait until Slack refuses a token while the bot serves; raises SetupError then, with the sentence of the start.

    One method may be refused while the token is good: so the token itself is asked about before.
    """
    while True:
        await client.suspected.wait()
        # Cleared before asking, so that a suspicion that comes meanwhile is looked into as well.
        client.suspected.clear()
        try:
            if client.token_setting == APP_TOKEN:
                await socket_url(settings, client)
            else:
                await _used(BOT_TOKEN, client.auth_test)
        except ChatTrouble as error:
            log.warning("whether Slack refuses %s is not known yet: %s", client.token_setting, error)
            await asyncio.sleep(ASK_AGAIN_S)
            # Whether the token is refused is still open, so this asks again.
            client.suspected.set()


async def _used(setting: str, call: Callable[[], Awaitable[AsyncSlackResponse]]) -> AsyncSlackResponse:
    """Call Slack with a token, for a bounded time again where its answer is in no table.

    Raises SetupError where the answer does not change by itself, else ChatTrouble.
    """
    retrying = AsyncRetrying(
        retry=retry_if_exception_type(UnknownTrouble),
        wait=pause_s,
        stop=RetryDeadline(None),
        reraise=True,
    )

    async def once() -> AsyncSlackResponse:
        with chat_errors():
            return await call()

    try:
        return await retrying(once)
    except (ChatTrouble, ChatRefused) as error:
        # An outage says nothing of the token: the caller waits for it.
        if error_class_of(error.__cause__ or error).failure is Failure.OUTAGE:
            raise
        raise SetupError(advice(setting, error)) from error


def signing_secret(settings: BotSettings) -> str:
    """The secret that HTTP requests are signed with; raises SetupError if there is none."""
    if not settings.slack_signing_secret:
        raise SetupError(
            "Set SLACK_APP_TOKEN for Socket Mode, or SLACK_SIGNING_SECRET for HTTP: "
            f"{APP_PAGE} → Basic Information → App-Level Tokens (scope connections:write), or → Signing Secret."
        )
    return settings.slack_signing_secret.get_secret_value()


def advice(setting: str, error: Exception) -> str:
    """What to do about an error that came of using a token."""
    cause = error.__cause__ or error
    if error_class_of(cause).failure is Failure.PERMANENT:
        mode = f" {SOCKET_MODE}" if setting == APP_TOKEN else ""
        return f"Slack refuses {setting} ({error}). Copy it again from {APP_PAGE} → {PAGES[setting]}.{mode}"
    if error_class_of(cause).failure is Failure.UNKNOWN:
        return f"Slack does not take {setting}, and says {error}, which is unknown to Darkroom."
    if answered(error):
        return f"Slack has trouble of its own ({error}). Try again in a minute."
    return f"{error}. Is SLACK_API_URL right, and is Slack reachable from here?"

"""The tokens: what Slack says to them, and what to do where it refuses one."""

from slack_sdk.web.async_client import AsyncWebClient

from bot.following.posts import ChannelClosed, ChatTrouble
from bot.slack.client import answered, meaning, refused
from storage.errors import SetupError
from storage.settings import Settings

APP_PAGE = "https://api.slack.com/apps, your app"
PAGES = {
    "SLACK_BOT_TOKEN": "OAuth & Permissions → Bot User OAuth Token, xoxb-…",
    "SLACK_APP_TOKEN": "Basic Information → App-Level Tokens with the scope connections:write, xapp-…",
}


async def who_am_i(client: AsyncWebClient) -> dict[str, str]:
    """Team and user of the bot's token.

    Raises SetupError that says what to do where Slack refuses the token or is not there at all, and ChatTrouble where
    it only cannot say now.
    """
    try:
        with meaning():
            answer = await client.auth_test()
    except (ChatTrouble, ChannelClosed) as error:
        if refused(error) or not answered(error):
            raise SetupError(advice("SLACK_BOT_TOKEN", error)) from error
        raise
    names = ("team", "team_id", "user_id", "enterprise_id")
    return {name: str(answer[name]) for name in names if answer.get(name)}


async def socket_url(settings: Settings, client: AsyncWebClient) -> str:
    """Open a connection for Socket Mode; raises SetupError that says what to click, ChatTrouble where that passes."""
    token = settings.slack_app_token.get_secret_value() if settings.slack_app_token else ""
    try:
        with meaning():
            return str((await client.apps_connections_open(app_token=token))["url"])
    except (ChatTrouble, ChannelClosed) as error:
        if refused(error):
            socket_mode = "Socket Mode must be on, too: Settings → Socket Mode."
            raise SetupError(f"{advice('SLACK_APP_TOKEN', error)} {socket_mode}") from error
        raise


def signing_secret(settings: Settings) -> str:
    """The secret that HTTP requests are signed with; raises SetupError if there is none."""
    if not settings.slack_signing_secret:
        raise SetupError(
            "Set SLACK_APP_TOKEN for Socket Mode, or SLACK_SIGNING_SECRET for HTTP: "
            f"{APP_PAGE} → Basic Information → App-Level Tokens (scope connections:write), or → Signing Secret."
        )
    return settings.slack_signing_secret.get_secret_value()


def advice(setting: str, error: Exception) -> str:
    """What to do about an error that came of using a token."""
    if refused(error):
        return f"Slack refuses {setting} ({error}). Copy it again from {APP_PAGE} → {PAGES[setting]}."
    if answered(error):
        return f"Slack has trouble of its own ({error}). Try again in a minute."
    return f"{error}. Is SLACK_API_URL right, and is Slack reachable from here?"

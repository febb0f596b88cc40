"""Slack's Web API as we call it: a client that tries nothing again by itself, and notices when its token is refused."""

import asyncio
from typing import Any

import aiohttp
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.web.async_slack_response import AsyncSlackResponse

from bot.connectors.slack.errors import error_class_of
from bot.delivery.posts import BotRefused
from storage.errors import SetupError
from storage.settings.bot import BotSettings

TIMEOUT_S = 30.0
CONNECT = "apps.connections.open"  # the one method that takes the token of the app in place of the bot's
BOT_TOKEN, APP_TOKEN = "SLACK_BOT_TOKEN", "SLACK_APP_TOKEN"


class Client(AsyncWebClient):
    """A client whose `suspected` is set when a call is answered as if a token were refused."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.suspected = asyncio.Event()
        self.token_setting = BOT_TOKEN  # of the token that was refused last

    async def api_call(self, api_method: str, **given: Any) -> AsyncSlackResponse:
        """Call a method; raises SlackClientError."""
        try:
            return await super().api_call(api_method, **given)
        except SlackApiError as error:
            if error_class_of(error).raises is BotRefused:
                self.token_setting = APP_TOKEN if api_method == CONNECT else BOT_TOKEN
                self.suspected.set()
            raise


def session() -> aiohttp.ClientSession:
    """The connections that all calls share."""
    return aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT_S))


def web_client(settings: BotSettings, http: aiohttp.ClientSession | None) -> Client:
    """A client with the bot's token; raises SetupError if there is none.

    It tries nothing again by itself, since it would post twice what arrived but was not answered.
    """
    if not settings.slack_bot_token:
        raise SetupError("SLACK_BOT_TOKEN is not set; docs/slack.md says where Slack shows it.")
    url = settings.slack_api_url or AsyncWebClient.BASE_URL
    token = settings.slack_bot_token.get_secret_value()
    return Client(token=token, base_url=url, session=http, retry_handlers=[])

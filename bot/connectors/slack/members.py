"""Members of the workspace, looked up one by one."""

import logging
from contextlib import suppress

import aiohttp
from slack_sdk.errors import SlackApiError, SlackClientError
from slack_sdk.web.async_client import AsyncWebClient

from bot.commands.departures import Members
from bot.connectors.slack.errors import UnknownUser, error_class_of
from bot.connectors.slack.markup import escape

log = logging.getLogger(__name__)

FAILURES = (SlackClientError, aiohttp.ClientError, OSError)


class SlackMembers(Members):
    """Members of the workspace that the bot serves."""

    platform, where = "slack", "workspace"

    def __init__(self, client: AsyncWebClient, team: str) -> None:
        self.client, self.team = client, team

    def spaces(self) -> list[str]:
        """The workspace that the bot serves."""
        return [f"slack:{self.team}"]

    async def has_left(self, space: str, person: str) -> bool | None:
        """Whether a person's account is deactivated; as long as we ask, the bot itself is there."""
        if space.split(":")[:2] != ["slack", self.team]:
            return None
        if not person:
            return False
        try:
            return bool((await self.client.users_info(user=person))["user"].get("deleted"))
        except SlackApiError as error:
            # An error is no proof of departure: whoever seems to have left loses their data after a grace.
            return True if error_class_of(error).raises is UnknownUser else None
        except FAILURES as error:
            log.info("whether %s is in the workspace is not known: %s", person, error)
            return None

    async def tell(self, person: str, sentence: str) -> None:
        """Send a direct message; Slack takes none for whoever is deactivated."""
        with suppress(*FAILURES):
            direct = (await self.client.conversations_open(users=person))["channel"]["id"]
            await self.client.chat_postMessage(channel=direct, text=escape(sentence))

"""Who people are on Slack: moderators are the workspace's admins and owners, groups its user groups.

Where Slack does not tell, for want of rights or in time, nobody is a moderator or a member: that is never an error.
"""

import asyncio
import logging
from collections.abc import Awaitable
from typing import Any, TypeVar

import aiohttp
from async_lru import alru_cache
from slack_sdk.errors import SlackApiError, SlackClientError
from slack_sdk.web.async_client import AsyncWebClient

from bot.messages import Request, Upload
from bot.slack.asked import Asked
from bot.slack.client import code

log = logging.getLogger(__name__)

T = TypeVar("T")
KEPT_S = 300.0
PEOPLE_MAX = 10_000
LOOK_S = 1.5  # a form must be open three seconds after somebody asked for it

Group = dict[str, Any]  # as Slack describes it


class People:
    """Makes requests of what was asked, with the rights of who asked."""

    def __init__(self, client: AsyncWebClient) -> None:
        self.client = client
        # Answers are kept, and failures tried again with the next request.
        self._moderates = alru_cache(maxsize=PEOPLE_MAX, ttl=KEPT_S)(self._look_for_rights)
        self._groups = alru_cache(maxsize=1, ttl=KEPT_S)(self._look_for_groups)

    async def request(
        self, asked: Asked, command: str, arguments: dict[str, str], uploads: tuple[Upload, ...] = ()
    ) -> Request:
        """A request of the person; slow only the first time that they ask for something."""
        moderates, groups = await asyncio.gather(_in_time(self._moderates(asked.user), False), self.groups())
        if group := arguments.get("group"):
            arguments = {**arguments, "group": _id(group, groups)}
        return Request(
            space=asked.space,
            user=asked.user,
            command=command,
            arguments=arguments,
            uploads=uploads,
            channel=asked.channel,
            groups=tuple(str(group["id"]) for group in groups if asked.user in group.get("users", ())),
            moderator=moderates,
            asks=True,
            id=asked.id,
            sure=asked.sure,
        )

    async def groups(self) -> list[Group]:
        """The workspace's user groups, as far as Slack tells."""
        return await _in_time(self._groups(), [])

    async def _look_for_rights(self, user: str) -> bool:
        about: dict[str, Any] = await _told(self.client.users_info(user=user), "user", {})
        return bool(about.get("is_admin") or about.get("is_owner"))

    async def _look_for_groups(self) -> list[Group]:
        """All user groups with their members: Slack does not tell the groups of one person."""
        return await _told(self.client.usergroups_list(include_users=True), "usergroups", [])


async def _told(call: Awaitable[Any], part: str, otherwise: T) -> T:
    """One part of Slack's answer, or `otherwise` where that is none of our business; raises what passes by itself."""
    try:
        return (await call)[part] or otherwise
    except SlackApiError as error:
        if error.response.status_code != 200:
            raise
        log.info("Slack does not tell: %s", code(error))
        return otherwise


async def _in_time(look: Awaitable[T], otherwise: T) -> T:
    """What is found out soon, or `otherwise`."""
    try:
        async with asyncio.timeout(LOOK_S):
            return await look
    except (SlackClientError, aiohttp.ClientError, OSError) as error:  # a TimeoutError is an OSError
        log.warning("Slack does not answer: %s", error or type(error).__name__)
        return otherwise


def _id(said: str, groups: list[Group]) -> str:
    """The id of a user group that is called by its handle; what is an id already stays as it is."""
    handle = said.removeprefix("@").casefold()
    found = (str(group["id"]) for group in groups if said.startswith("@") and group["handle"].casefold() == handle)
    return next(found, said)

"""Who people are on Slack: moderators are the workspace's admins and owners, groups its user groups.

Rights that the bot does not have make nobody a moderator, and nobody a member: that is never an error.
"""

import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any, Generic, TypeVar

import aiohttp
from slack_sdk.errors import SlackApiError, SlackClientError
from slack_sdk.web.async_client import AsyncWebClient

from bot.app import Darkroom
from bot.messages import Request, Upload
from bot.slack_asked import Asked
from bot.slack_client import code

log = logging.getLogger(__name__)

T = TypeVar("T")
KEPT_S = 300.0
KEPT_MAX = 10_000  # people or groups


class Memory(Generic[T]):
    """What was found out in the last minutes."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[float, T]] = {}

    async def get(self, key: str, look: Callable[[str], Awaitable[T]]) -> T:
        """What is known about `key`, or what `look` finds."""
        at_s, value = self._known.get(key, (None, None))
        if at_s is not None and value is not None and time.monotonic() - at_s < KEPT_S:
            return value
        if len(self._known) >= KEPT_MAX:
            self._known.clear()
        value = await look(key)
        self._known[key] = (time.monotonic(), value)
        return value


class People:
    """Makes requests of what was asked, with the rights of who asked."""

    def __init__(self, app: Darkroom, client: AsyncWebClient) -> None:
        self.app, self.client = app, client
        self._moderators: Memory[bool] = Memory()
        self._members: Memory[frozenset[str]] = Memory()

    async def request(
        self, asked: Asked, command: str, arguments: dict[str, str], uploads: tuple[Upload, ...] = ()
    ) -> Request:
        """A request of the person; slow only the first time that they ask for something."""
        if group := arguments.get("group"):
            arguments = {**arguments, "group": await self.group(group)}
        return Request(
            space=asked.space,
            user=asked.user,
            command=command,
            arguments=arguments,
            uploads=uploads,
            channel=asked.channel,
            groups=await self._groups(asked),
            moderator=await self._moderators.get(asked.user, self._moderates),
            asks=True,
            id=asked.id,
            sure=asked.sure,
        )

    async def group(self, said: str) -> str:
        """The id of a user group that is called by its handle; what is an id already stays as it is."""
        if not said.startswith("@"):
            return said
        groups: list[Any] = await self._ask(self.client.usergroups_list(), "usergroups", [])
        handle = said.removeprefix("@").casefold()
        return next((str(group["id"]) for group in groups if group["handle"].casefold() == handle), said)

    async def _moderates(self, user: str) -> bool:
        about: dict[str, Any] = await self._ask(self.client.users_info(user=user), "user", {})
        return bool(about.get("is_admin") or about.get("is_owner"))

    async def _groups(self, asked: Asked) -> tuple[str, ...]:
        """The person's groups among those that something is shared with here."""
        subjects = await self.app.subjects.in_space(asked.space)
        wanted = sorted({s.shared_with for s in subjects if s.shared == "group"})
        return tuple([group for group in wanted if asked.user in await self._members.get(group, self._look)])

    async def _look(self, group: str) -> frozenset[str]:
        return frozenset(await self._ask(self.client.usergroups_users_list(usergroup=group), "users", []))

    async def _ask(self, call: Awaitable[Any], part: str, otherwise: T) -> T:
        """One part of Slack's answer, or `otherwise` if there is none."""
        try:
            return (await call)[part] or otherwise
        except SlackApiError as error:
            log.info("Slack does not tell: %s", code(error) or error)
        except (SlackClientError, aiohttp.ClientError, TimeoutError) as error:
            log.warning("Slack does not answer: %s", error)
        return otherwise

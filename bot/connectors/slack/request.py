"""Requests from Slack events: person, rights and groups. Moderators are the workspace's admins and owners.

Where Slack does not tell, for want of rights or in time, nobody is a moderator or a member of a group, and a channel is
taken for private: that is never an error. People of other workspaces and guests are outsiders, and refused by default.
"""

import asyncio
import logging
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import aiohttp
from async_lru import alru_cache
from slack_sdk.errors import SlackApiError, SlackClientError
from slack_sdk.web.async_client import AsyncWebClient

from bot.connectors.slack.context import DIRECT, GROUP_DIRECT, PRIVATE, PUBLIC, InboundContext
from bot.connectors.slack.errors import code, error_class_of
from bot.connectors.slack.markup import escape
from bot.core.messages import PlaceMention, Request
from bot.photos.uploads import Upload
from storage.errors import UserError
from storage.failures import Failure

log = logging.getLogger(__name__)

T = TypeVar("T")
KEPT_S = 300.0
PEOPLE_MAX = 10_000
LOOK_S = 1.5  # a form must be open three seconds after somebody asked for it

REFUSED = "I work for full members of this workspace only, not for guests or people of other organisations."

Group = dict[str, Any]  # as Slack describes it


@dataclass(frozen=True)
class UserStanding:
    """What Slack says of a person: None where it does not."""

    outsider: bool | None = None
    admin: bool = False


class RequestFactory:
    """Makes requests of what was asked, with the rights of who asked.

    `me` is what auth.test says of the bot; `outsiders` tells whether people of other workspaces and guests may ask.
    """

    def __init__(self, client: AsyncWebClient, me: Mapping[str, str] | None = None, outsiders: bool = False) -> None:
        self.client, self.me, self.outsiders = client, me or {}, outsiders
        self._channels = alru_cache(maxsize=PEOPLE_MAX, ttl=KEPT_S)(self._look_for_channel)
        self._kinds = alru_cache(maxsize=PEOPLE_MAX, ttl=KEPT_S)(self._look_for_kind)
        # Answers are kept, and failures tried again with the next request.
        self._standing = alru_cache(maxsize=PEOPLE_MAX, ttl=KEPT_S)(self._look_for_standing)
        self._groups = alru_cache(maxsize=1, ttl=KEPT_S)(self._look_for_groups)

    async def request(
        self, inbound: InboundContext, command: str, arguments: dict[str, str], uploads: tuple[Upload, ...] = ()
    ) -> Request:
        """A request of the person; slow only the first time that they ask for something.

        Raises UserError for outsiders where they are not let in.
        """
        # Side by side: a form has to be open after three seconds, and each look-up may take half of that.
        standing, groups, kind = await asyncio.gather(
            _in_time(self._standing(inbound.user, inbound.team), UserStanding()), self.groups(), self._kind(inbound)
        )
        # Without an answer of Slack the event's own data decide: to refuse would lock everybody out during an outage.
        outsider = (
            bool(inbound.home) and inbound.home != inbound.team if standing.outsider is None else standing.outsider
        )
        if outsider and not self.outsiders:
            raise UserError(REFUSED)
        direct = kind in (DIRECT, GROUP_DIRECT)
        if group := arguments.get("group"):
            arguments = {**arguments, "group": _id(group, groups)}
        return Request(
            space=f"{inbound.space}:{inbound.channel}" if direct else inbound.space,
            user=inbound.user,
            command=command,
            arguments=arguments,
            uploads=uploads,
            channel=inbound.channel,
            thread=inbound.thread,
            secluded=inbound.channel if kind == PRIVATE else "",
            own_spaces=(inbound.space,) if direct else (),
            groups=tuple(str(group["id"]) for group in groups if inbound.user in group.get("users", ())),
            moderates="space" if standing.admin and not outsider and not direct else "",
            confirmed=inbound.confirmed,
            id=inbound.id,
        )

    async def groups(self) -> list[Group]:
        """The workspace's user groups, as far as Slack tells."""
        return await _in_time(self._groups(), [])

    async def place_name(self, place: PlaceMention | None) -> str:
        """What a channel or user group is called in a message, without calling anybody; empty if that is not known."""
        if not place:
            return ""
        if place.kind == "person":
            return f"<@{place.id}>"
        if place.kind == "channel":
            return await _in_time(self._channels(place.id), f"<#{place.id}>")
        groups = await self.groups()
        handles = (f"@{escape(str(group['handle']))}" for group in groups if group["id"] == place.id)
        return next(handles, "a user group that is gone") if groups else ""

    async def _kind(self, inbound: InboundContext) -> str:
        """What a channel is, by its id and by what Slack tells of it; if it does not tell, it is taken for private.

        People choose the names of channels, so the kind that a name suggests counts only where Slack does not tell.
        """
        if inbound.channel.startswith("D"):  # as ids of direct messages do, and no others
            return DIRECT
        if not inbound.channel:
            return ""
        channel_kind = await _in_time(self._kinds(inbound.channel), "")
        return channel_kind or (PRIVATE if inbound.kind in ("", DIRECT) else inbound.kind)

    async def _look_for_kind(self, channel: str) -> str:
        about: dict[str, Any] = await _part_of_answer(self.client.conversations_info(channel=channel), "channel", {})
        if about.get("is_im") or about.get("is_mpim"):
            return DIRECT if about.get("is_im") else GROUP_DIRECT
        if not about:
            return ""
        return PRIVATE if about.get("is_private") else PUBLIC

    async def _look_for_channel(self, channel: str) -> str:
        """A mention of a channel, or that it is gone: Slack says the same of one that is hidden from the bot."""
        try:
            await self.client.conversations_info(channel=channel)
        except SlackApiError as error:
            if code(error) == "channel_not_found":
                return "a channel that is gone or hidden from me"
            if error.response.status_code != 200:
                raise
        return f"<#{channel}>"

    async def _look_for_standing(self, user: str, team: str) -> UserStanding:
        about: dict[str, Any] = await _part_of_answer(self.client.users_info(user=user), "user", {})
        if not about:
            return UserStanding()
        ours = about.get("team_id", team) == self.me.get("team_id", team)
        organisation = (about.get("enterprise_user") or {}).get("enterprise_id")
        colleague = ours or (organisation is not None and organisation == self.me.get("enterprise_id"))
        guest = any(about.get(sign) for sign in ("is_restricted", "is_ultra_restricted", "is_stranger"))
        admin = bool(ours and not guest and (about.get("is_admin") or about.get("is_owner")))
        return UserStanding(outsider=guest or not colleague, admin=admin)

    async def _look_for_groups(self) -> list[Group]:
        """All user groups with their members: Slack does not tell the groups of one person."""
        return await _part_of_answer(self.client.usergroups_list(include_users=True), "usergroups", [])


async def _part_of_answer(call: Awaitable[Any], part: str, otherwise: T) -> T:
    """One part of Slack's answer, or `otherwise` where that is none of our business; raises what passes by itself."""
    try:
        return (await call)[part] or otherwise
    except SlackApiError as error:
        if error_class_of(error).failure is not Failure.PERMANENT:
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


def _id(mention: str, groups: list[Group]) -> str:
    """The id of a user group that is called by its handle; what is an id already stays as it is."""
    handle = mention.removeprefix("@").casefold()
    group_ids = (
        str(group["id"]) for group in groups if mention.startswith("@") and group["handle"].casefold() == handle
    )
    return next(group_ids, mention)

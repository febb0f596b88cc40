"""Where and by whom something was asked on Slack, taken out of what Slack sends."""

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from bot.delivery.posts import Post
from storage.contract.base import Record
from storage.ids import new_id

RESPONSE_URL = "response_url"  # in Post.extra: where Slack takes a private answer without further rights
Payload = Mapping[str, Any]

# Kinds of conversations: with the bot, of several people, a channel by invitation, a channel open to the workspace.
DIRECT, GROUP_DIRECT, PRIVATE, PUBLIC = "im", "mpim", "private", "public"


class InboundContext(Record):
    """The circumstances of a request; a form carries them along until it is sent."""

    team: str
    user: str
    channel: str
    thread: str = ""
    kind: str = ""  # of the channel, where Slack tells
    home: str = ""  # the workspace that the person belongs to, where Slack tells
    response_url: str = ""
    message: str = ""  # whose button was pressed, if all can see it
    id: str = Field(default_factory=new_id)  # of the request that this becomes
    confirmed: bool = False  # with a button, which asks first

    @property
    def space(self) -> str:
        """The space that the workspace is; direct messages have spaces of their own in it."""
        return f"slack:{self.team}"

    def post(self, **more: Any) -> Post:
        """A post for the answer."""
        extra = {RESPONSE_URL: self.response_url} if self.response_url else {}
        where = {"space": self.space, "channel": self.channel, "user": self.user, "thread": self.thread}
        return Post(platform="slack", job=self.id, extra=extra, **where, **more)


def by_command(body: Payload) -> InboundContext:
    """The context of a typed command."""
    return InboundContext(
        team=body["team_id"],
        user=body["user_id"],
        channel=body["channel_id"],
        kind=_kind(body.get("channel_name", "")),
        response_url=body["response_url"],
    )


def by_message(body: Payload, confirmed: bool = False) -> InboundContext:
    """The context of a pressed button, whose question is answered, or of a shortcut in a message's menu."""
    container = body.get("container", {})
    message = "" if container.get("is_ephemeral") else container.get("message_ts", "")
    return InboundContext(
        team=body["team"]["id"],
        user=body["user"]["id"],
        home=body["user"].get("team_id", ""),
        kind=_kind((body.get("channel") or {}).get("name", "")),
        channel=(body.get("channel") or {}).get("id") or container.get("channel_id", ""),
        thread=(container or body["message"]).get("thread_ts", ""),
        response_url=body.get("response_url", ""),
        message=message,
        confirmed=confirmed,
    )


def by_event(body: Payload) -> InboundContext:
    """The context of a message to the bot."""
    event = body["event"]
    return InboundContext(
        team=body["team_id"],
        user=event["user"],
        channel=event["channel"],
        thread=event.get("thread_ts", ""),
        home=event.get("user_team") or event.get("source_team") or "",
    )


def _kind(name: str) -> str:
    """What a channel seems to be by the name that commands and buttons tell; empty where they tell none.

    It is a hint: people can give a channel such a name.
    """
    if name.startswith("mpdm-"):
        return GROUP_DIRECT
    return {"": "", "directmessage": DIRECT, "privategroup": PRIVATE}.get(name, PUBLIC)

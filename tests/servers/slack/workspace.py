"""What there is in a workspace: people, channels, messages, files, forms, and the rules that were broken."""

import secrets
import time
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]

TEAM, BOT_USER, BOT, APP = "T0TEAM", "U0BOT", "B0BOT", "A0APP"
BOT_TOKEN, APP_TOKEN, SIGNING_SECRET = "xoxb-of-the-tests", "xapp-of-the-tests", "secret-of-the-tests"
TRIGGER_S, RESPONSE_URL_S, RESPONSE_URL_USES = 3.0, 30 * 60, 5


class Refused(Exception):
    """Slack answers `{"ok": false, "error": …}`."""

    def __init__(self, error: str, **more: Any) -> None:
        super().__init__(error)
        self.error, self.more = error, more


@dataclass
class Message:
    """A message as it stands; `versions` are all its texts, the newest last."""

    ts: str
    channel: str
    user: str
    text: str = ""
    blocks: list[Json] = field(default_factory=list)
    metadata: Json | None = None
    thread_ts: str = ""
    only_for: str = ""  # of an ephemeral message: who sees it
    files: list[str] = field(default_factory=list)
    versions: list[str] = field(default_factory=list)
    shares: list["Message"] = field(default_factory=list)  # messages that it forwards

    def as_json(self, with_metadata: bool = False) -> Json:
        """The message as the Web API tells it."""
        told: Json = {"type": "message", "ts": self.ts, "user": self.user, "text": self.text, "blocks": self.blocks}
        told |= {"bot_id": BOT, "app_id": APP} if self.user == BOT_USER else {}
        told |= {"thread_ts": self.thread_ts} if self.thread_ts else {}
        return told | ({"metadata": self.metadata} if with_metadata and self.metadata else {})


@dataclass
class Channel:
    """A channel, or a direct conversation with the bot."""

    id: str
    name: str
    private: bool = False
    group: bool = False  # a group message
    archived: bool = False
    bot_inside: bool = True
    refuses: str = ""  # the error that writing here gives
    messages: dict[str, Message] = field(default_factory=dict)

    def as_json(self) -> Json:
        """The channel as the Web API tells it."""
        direct = self.id.startswith("D")
        kind = {"is_im": direct, "is_mpim": self.group, "is_private": self.private, "is_channel": not direct}
        return {"id": self.id, "name": self.name, "is_archived": self.archived, **kind}

    @property
    def told_name(self) -> str:
        """What commands and buttons call it."""
        if self.id.startswith("D"):
            return "directmessage"
        return "privategroup" if self.private and not self.group else self.name

    def check_open(self, uninvited: bool) -> None:
        """Raise Refused if the bot may not write here; `uninvited`: it may write to public channels."""
        if self.refuses:
            raise Refused(self.refuses)
        if self.archived:
            raise Refused("is_archived")
        if not self.bot_inside and (self.private or not uninvited):
            raise Refused("channel_not_found" if self.private else "not_in_channel")


@dataclass
class File:
    """A file on Slack's host. One that the bot uploads can be shown only when it is completed and processed."""

    id: str
    name: str
    length: int
    user: str
    data: bytes | None = None
    completed: bool = True
    shown_after_s: float = 0.0  # by time.monotonic()
    alt_text: str = ""
    serves: str = "bytes"  # or: html, elsewhere (a redirect to another host), gone, stuck (for ever)
    thread: str = ""
    told: Json = field(default_factory=dict)  # what events tell otherwise
    untold: bool = False  # events tell the id alone, as in channels shared with another company

    def as_event(self, base: str) -> Json:
        """The file as events and forms tell it."""
        if self.untold:
            return {"id": self.id, "file_access": "check_file_info", "created": 0, "timestamp": 0, "user": ""}
        return self.as_json(base)

    def as_json(self, base: str) -> Json:
        """The file as `files.info` tells it."""
        url = f"{base}/files-pri/{TEAM}-{self.id}/{self.name}"
        kind = self.name.rpartition(".")[2]
        told: Json = {"id": self.id, "name": self.name, "title": self.name, "size": self.length, "user": self.user}
        told |= {"alt_txt": self.alt_text} if self.alt_text else {}
        told |= {"filetype": kind, "mimetype": f"image/{kind}", "url_private": url, "url_private_download": url}
        return {name: value for name, value in (told | self.told).items() if value is not None}


@dataclass
class View:
    """A form that is open on somebody's screen."""

    id: str
    user: str
    body: Json
    hash: str = "1"


@dataclass
class ResponseUrl:
    """An address for answers to one thing that a person did, at or under a message."""

    about: Message
    user: str
    made_s: float = field(default_factory=time.monotonic)
    uses: int = 0


@dataclass
class Delivery:
    """One thing that was told to the bot, and how long it took to be acknowledged."""

    kind: str
    sent_s: float
    ack_s: float | None = None
    answer: Json | None = None


class Workspace:
    """Everything that the server and the people of the tests share."""

    def __init__(self) -> None:
        self.violations: list[str] = []
        self.enterprise = ""  # the organisation that the workspace belongs to
        self.users: dict[str, Json] = {}
        self.channels: dict[str, Channel] = {}
        self.files: dict[str, File] = {}
        self.views: dict[str, View] = {}
        self.groups: dict[str, list[str]] = {}  # ids of the members by id of the user group
        self.scopes = (
            "commands,chat:write,chat:write.public,files:read,files:write,app_mentions:read,users:read,usergroups:read,"
            "channels:history,groups:history,im:history,mpim:history,im:write,channels:read,groups:read,mpim:read"
        )
        self.triggers: dict[str, tuple[float, str]] = {}
        self.response_urls: dict[str, ResponseUrl] = {}
        self.deliveries: list[Delivery] = []
        self.processing_s = 0.0  # how long an uploaded file cannot be shown in a block
        self._last_ts = 0
        self.add_user(BOT_USER)

    def violated(self, rule: str) -> None:
        """Note that a rule was broken; the test fails for it."""
        self.violations.append(rule)

    def new_id(self, prefix: str) -> str:
        """An id that looks like Slack's: no other workspace has it, or its event would be taken for a redelivery."""
        return f"{prefix}{secrets.token_hex(5).upper()}"

    def new_ts(self) -> str:
        """A message's id: seconds since 1970 with six digits, each later than the one before."""
        self._last_ts = max(self._last_ts + 1, time.time_ns() // 1000)
        return f"{self._last_ts // 10**6}.{self._last_ts % 10**6:06d}"

    def add_user(self, user: str, admin: bool = False, **about: Any) -> str:
        """Let a person into the workspace; `about` has more of what Slack says of them."""
        self.users[user] = {"id": user, "team_id": TEAM, "name": user.lower(), "is_admin": admin, "is_owner": False}
        self.users[user] |= about
        return user

    def add_channel(self, name: str, channel: str = "", **about: bool) -> Channel:
        """Open a channel."""
        made = Channel(channel or self.new_id("C"), name, **about)
        self.channels[made.id] = made
        return made

    def add_file(self, name: str, data: bytes, user: str, serves: str = "bytes") -> File:
        """Upload a file as a person does."""
        file = File(self.new_id("F"), name, len(data), user, data, serves=serves)
        self.files[file.id] = file
        return file

    def channel(self, channel: str) -> Channel:
        """Find a channel; raises Refused as Slack does."""
        if channel in self.users and channel != BOT_USER:  # a user's id stands for the conversation with them
            channel = self.conversation_with(channel).id
        if channel not in self.channels:
            raise Refused("channel_not_found")
        return self.channels[channel]

    def conversation_with(self, user: str) -> Channel:
        """The direct conversation of the bot with a person."""
        if user not in self.users:
            raise Refused("user_not_found")
        return self.channels.get(f"D{user[1:]}") or self.add_channel(f"dm-{user}", f"D{user[1:]}", private=True)

    def post(self, channel: Channel, user: str, text: str, **more: Any) -> Message:
        """Put a message into a channel."""
        message = Message(self.new_ts(), channel.id, user, text, versions=[text], **more)
        channel.messages[message.ts] = message
        return message

    def trigger(self, user: str) -> str:
        """A trigger id, good for one form within three seconds."""
        trigger = self.new_id("trigger.")
        self.triggers[trigger] = (time.monotonic(), user)
        return trigger

    def use_trigger(self, trigger: str) -> str:
        """The person a form may be opened for; raises Refused for a trigger that is used, old or unknown."""
        made_s, user = self.triggers.pop(trigger, (0.0, ""))
        if not user:
            raise Refused("exchanged_trigger_id")
        if time.monotonic() - made_s > TRIGGER_S:
            self.violated(f"trigger_id of {time.monotonic() - made_s:.1f} s used")
            raise Refused("expired_trigger_id")
        return user

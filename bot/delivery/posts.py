"""Messages that follow a job, and what a chat must be able to do with one.

A post is written down before its job is accepted, so that whoever comes after a crash finds the message and goes on
with it: `posts/<platform>/<job>.json`, deleted when the last word is said. What lets anybody write as the bot, tokens
and URLs that are good for minutes, goes to Redis, and lapses there.
"""

import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from math import inf

from pydantic import Field

from bot.core.messages import Reply, Request
from storage.contract.base import Stored
from storage.contract.posted_messages import Posted, home_of, note
from storage.errors import Damaged, Missing, Newer, StoreError
from storage.objects.store import Store
from storage.recent_set import RecentSet

log = logging.getLogger(__name__)

NOTED = 10_000  # messages of which a process remembers that they are noted


class ChatError(Exception):
    """What a chat answers instead of doing something; `says` tells who asked why, empty if that is not known."""

    def __init__(self, about: object = "", says: str = "") -> None:
        super().__init__(str(about))
        self.says = says


class ChatRefused(ChatError):
    """The chat refuses something for good."""


class MessageGone(ChatRefused):
    """The message, or the one that it answers, is deleted or cannot be edited any more: a new one is sent."""


class ChannelClosed(ChatRefused):
    """The channel is gone, or the bot may not write there."""


class NotTaken(ChatRefused):
    """The chat does not take a message like this, however often it is sent; it may take a plainer one."""


class ChatTrouble(ChatError):
    """An outage: the chat does not answer, or has trouble of its own; it is worth another try."""


class RateLimited(ChatTrouble):
    """A rate limit; `stated` if the chat gave the delay."""

    def __init__(self, retry_after_s: float, stated: bool = True) -> None:
        super().__init__(f"asked to wait {retry_after_s:.1f} s")
        self.retry_after_s, self.stated = retry_after_s, stated


class UnknownTrouble(ChatTrouble):
    """An answer that is in no table: tried again for a bounded time."""


class BotRefused(ChatTrouble):
    """The chat refuses the bot itself, perhaps for one method only: its front end finds out, and ends if it is all.

    Until then what is owed is tried again for a bounded time, so that it is not forgotten with the front end's end.
    """


@contextmanager
def store_as_trouble() -> Iterator[None]:
    """Raise failures of the store as ChatTrouble: a message that needs it cannot be sent yet.

    What waiting does not mend stays what it is: Missing, Damaged, Newer.
    """
    try:
        yield
    except (Missing, Damaged, Newer):
        raise
    except StoreError as error:
        raise ChatTrouble(f"what is to be said cannot be read or kept: {error}") from error


def without_pictures(reply: Reply, chat: str) -> Reply:
    """The reply without pictures, where a chat refuses them; a final one says that they are missing."""
    if not reply.shown:
        return reply
    says = f"\n{chat} does not take the pictures here."
    says += " The buttons give you each by itself." * any(pick.group for pick in reply.picks)
    text = reply.text + says * (reply.state != "working")
    return reply.model_copy(update={"grid": None, "pictures": (), "text": text})


class Post(Stored):
    """One message that follows a job."""

    platform: str
    job: str
    space: str
    channel: str
    user: str  # who asked, and is told
    message: str = ""  # the chat's id of it
    thread: str = ""
    fresh: bool = True  # the message stands for this request alone; else it was there before, with a button
    asked_s: float = Field(default_factory=time.time)
    request: Request | None = None  # to be answered anew where nothing came of it; not if photos came with it
    last_word: bool = False  # the end is being announced: look whether it was before doing it again
    extra: dict[str, str] = {}  # what the chat wants to remember of it


RETRACTED = "This was deleted."


def _homes_of(reply: Reply) -> set[str]:
    """The jobs and subjects with which a message goes, when they are deleted."""
    homes = {home_of(picture.key) for picture in reply.shown}
    if not reply.job:
        return homes
    if reply.state == "working":  # a first look of another job, which leaves the message when the work ends
        homes = {home for home in homes if not home.startswith("jobs/")}
    return {*homes, f"jobs/{reply.job}"}


class Poster(ABC):
    """What a chat can do with posts. All methods raise the exceptions above, and nothing else on purpose."""

    platform: str
    store: Store
    secrets_last_s: float  # how long tokens and URLs in `Post.extra` are good for
    edit_every_s: float  # between two edits of one message
    channel_rate: tuple[float, float]  # edits and seconds: so many in so long
    space_rate: tuple[float, float]
    announces = True  # whether the end of a training is told in a message of its own
    retry_for_s = inf  # how long store and queue may fail while a job is followed

    async def note_posted(self, reply: Reply, channel: str, message: str) -> None:
        """Note beside the jobs and subjects that a message is about where it is; a store that fails is logged."""
        homes = _homes_of(reply)
        posted = Posted(platform=self.platform, channel=channel, message=message)
        for home in homes if message else ():
            if (home, message) in self._noted:
                continue
            try:
                await note(self.store, home, posted)
                self._noted.add((home, message))
            except StoreError as error:
                log.warning("where message %s is cannot be noted: %s", message, error)

    @cached_property
    def _noted(self) -> RecentSet[tuple[str, str]]:
        """Homes and messages that were noted by this process."""
        return RecentSet(NOTED)

    def rate_limit_key(self, post: Post) -> str:
        """What `channel_rate` counts together: the channel's posts, unless a chat counts otherwise."""
        return f"{post.space} {post.channel}"

    def pages(self, reply: Reply) -> list[str]:
        """The reply's text in the chat's markup, where it takes several messages; empty where one has room for it."""
        return []

    @abstractmethod
    async def send(self, post: Post, reply: Reply, *, nonce: str, mention: bool) -> str:
        """Say something new under the post, mentioning who asked if `mention`; return the new message's id.

        The same `nonce` twice says it once, as far as the chat can tell.
        """

    @abstractmethod
    async def find(self, post: Post, nonce: str) -> str | None:
        """The message that `send` made with this nonce before a crash, if it did."""

    @abstractmethod
    async def edit(self, post: Post, reply: Reply) -> Post:
        """Make the post's message say `reply`; return the post, perhaps with more in `extra`."""

    @abstractmethod
    async def send_ephemeral(self, post: Post, reply: Reply) -> None:
        """Send a message that only the asker sees."""

    @abstractmethod
    async def retract(self, posted: Posted) -> None:
        """Take the pictures and words out of a message that is about something deleted, or delete an upload."""

    @abstractmethod
    async def remove(self, post: Post) -> None:
        """Take the post's message away; it is no error if it is gone."""

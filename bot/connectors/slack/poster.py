"""Posts on Slack: messages by the bot's own token, which never ends, with their pictures inside."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar

from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.webhook.async_client import AsyncWebhookClient

from bot.connectors.slack.context import RESPONSE_URL
from bot.connectors.slack.errors import BlocksRefused, chat_errors
from bot.connectors.slack.render import blocks, fallback
from bot.connectors.slack.request import RequestFactory
from bot.connectors.slack.uploads import PictureUploads, UploadRefused
from bot.core.messages import Reply
from bot.delivery.posts import (
    RETRACTED,
    ChannelClosed,
    ChatRefused,
    ChatTrouble,
    MessageGone,
    NotTaken,
    Post,
    Poster,
    UnknownTrouble,
    store_as_trouble,
    without_pictures,
)
from storage.contract.posted_messages import Posted
from storage.objects.store import Store
from storage.recent_set import RecentSet

log = logging.getLogger(__name__)

DOUBTFUL = 10_000  # messages that are looked for before they are said again

RESPONSE_URL_S = 25 * 60.0  # it ends after half an hour
PROCESSING_S = (0.5, 1.0, 2.0, 4.0)  # how long Slack may take until an uploaded picture can be shown
WITHOUT_S = 600.0  # until pictures inside messages are tried again where Slack does not take them
EVENT = "darkroom_said"  # type of the metadata in which a message carries its nonce
LOOK_BACK = 200  # messages a page, when looking for one
QUIET: dict[str, Any] = {"parse": "none", "link_names": False}  # nothing in a text calls anybody
NO_PREVIEWS: dict[str, Any] = {"unfurl_links": False, "unfurl_media": False}

PAGES = 5  # of such a look at most

Files = Mapping[str, str]  # Slack's ids by key of the picture
T = TypeVar("T")


def first_nonce(job: str) -> str:
    """The nonce of the message that a job begins with."""
    return f"{job}:begun"


@dataclass(frozen=True)
class MessageLayout:
    """How a reply is said: with blocks, or as `bare` text."""

    reply: Reply
    bare: bool = False


class SlackPoster(Poster):
    """What Slack can do with posts."""

    platform = "slack"
    secrets_last_s = 30 * 60.0
    edit_every_s = 3.0
    channel_rate = (1, 1.0)  # about one message a second in a channel
    space_rate = (50, 60.0)  # chat.update is of tier 3: fifty a minute

    def __init__(self, client: AsyncWebClient, store: Store, people: RequestFactory | None = None) -> None:
        self.client, self.store, self.pictures = client, store, PictureUploads(client, store)
        self.people = people or RequestFactory(client)
        self._doubtful = RecentSet[str](DOUBTFUL)  # nonces of which nobody knows whether they were said
        self._pictures_from_s = 0.0  # when messages may have pictures inside again; some workspaces never take them

    async def send(self, post: Post, reply: Reply, *, nonce: str, mention: bool) -> str:
        """Say something new: with a mention in the thread of the post, else in its place."""
        # Slack has no idempotency key: after a lost answer the message's metadata tells whether it was posted.
        if nonce in self._doubtful and (posted := await self.find(post, nonce)):
            return posted
        thread = post.thread or (post.message if mention else "")
        try:
            message = await _with_fallbacks(reply, lambda way: self._send(post, way, nonce, mention, thread))
        except ChatTrouble:
            self._doubtful.add(nonce)
            raise
        self._doubtful.discard(nonce)
        await self.note_posted(reply, post.channel, message)
        return message

    async def _send(self, post: Post, way: MessageLayout, nonce: str, mention: bool, thread: str) -> str:
        whom = post.user if mention else ""
        metadata = {"event_type": EVENT, "event_payload": {"nonce": nonce, "job": post.job}}

        async def say(files: Files) -> str:
            more: dict[str, Any] = {"thread_ts": thread} if thread else {}
            parts = await self._message_parts(way, files, whom)
            with chat_errors():
                answer = await self.client.chat_postMessage(
                    channel=post.channel, metadata=metadata, **parts, **more, **QUIET, **NO_PREVIEWS
                )
            return str(answer["ts"])

        try:
            return await self._with_pictures(post, way, say)
        except MessageGone:  # the message above the thread is deleted, or takes no answers
            if not thread:
                raise
            return await self._send(post, way, nonce, mention, "")

    async def find(self, post: Post, nonce: str) -> str | None:
        """Look for a message with this nonce, in the thread and in the channel; None also where we may not look.

        Raises ChatTrouble where Slack does not say: then nobody knows whether it is there.
        """
        # A minute earlier, for Slack's clock and ours may differ.
        since = f"{post.asked_s - 60:.6f}"
        places: list[Callable[[dict[str, Any]], Awaitable[Any]]] = []
        if thread := post.thread or post.message:
            places.append(lambda page: self.client.conversations_replies(channel=post.channel, ts=thread, **page))
        places.append(lambda page: self.client.conversations_history(channel=post.channel, oldest=since, **page))
        for look in places:
            try:
                async for message in _looked_through(look):
                    if _nonce(message) == nonce:
                        return str(message["ts"])
            except ChatRefused as error:
                log.debug("no messages to look through: %s", error)
        return None

    async def edit(self, post: Post, reply: Reply) -> Post:
        """Make the post's message say `reply`; the ids of its pictures are remembered in the post."""
        # A process that died after posting has not written the message's id down.
        message = post.message or await self.find(post, first_nonce(post.job))
        if not message:
            raise MessageGone("it was never posted")
        shown: Files = {}

        async def say(way: MessageLayout, files: Files) -> str:
            nonlocal shown
            parts = {
                "blocks": [],
                **await self._message_parts(way, files),
            }  # without blocks, those there are would stay
            with chat_errors():
                await self.client.chat_update(channel=post.channel, ts=message, **parts, **QUIET)
            shown = files
            return message

        await self.note_posted(reply, post.channel, message)  # before it is read, and replied to
        await _with_fallbacks(reply, lambda way: self._with_pictures(post, way, lambda files: say(way, files)))
        extra = {name: value for name, value in post.extra.items() if name == RESPONSE_URL}
        return post.model_copy(update={"message": message, "extra": {**extra, **shown}})

    async def send_ephemeral(self, post: Post, reply: Reply) -> None:
        """Send a message that only the asker sees, or where that is not possible a direct message."""

        async def say(way: MessageLayout) -> str:
            way = replace(way, reply=without_pictures(way.reply, "Slack")) if way.bare else way
            return await self._with_pictures(post, way, partial(self._send_ephemeral, post, way), threads=False)

        try:
            await _with_fallbacks(reply, say)
        except (ChatRefused, UnknownTrouble) as error:
            log.info("not told in channel %s: %s", post.channel, error)
            with chat_errors():
                direct = (await self.client.conversations_open(users=post.user))["channel"]["id"]
            there = post.model_copy(update={"channel": direct, "thread": "", "message": ""})
            await self.send(there, reply, nonce=f"{post.job}:whisper", mention=False)

    async def _send_ephemeral(self, post: Post, way: MessageLayout, files: Files) -> str:
        parts = await self._message_parts(way, files)
        url = post.extra.get(RESPONSE_URL)
        with chat_errors():
            if url and time.time() - post.asked_s < RESPONSE_URL_S:
                hook = AsyncWebhookClient(url, session=self.client.session)
                answer = await hook.send(response_type="ephemeral", replace_original=False, **parts)
                # A response URL also ends after five uses; then the bot's own token has to do.
                if answer.status_code == 200:
                    return ""
            more: dict[str, Any] = {"thread_ts": post.thread} if post.thread else {}
            await self.client.chat_postEphemeral(channel=post.channel, user=post.user, **parts, **more, **QUIET)
        return ""

    async def _message_parts(self, way: MessageLayout, files: Files, mention: str = "") -> dict[str, Any]:
        """What a message says, as slack_sdk's methods take it."""
        text = fallback(way.reply, mention)
        if way.bare:
            return {"text": text}
        place = await self.people.place_name(way.reply.place)
        return {"text": text, "blocks": await blocks(self.store, way.reply, files, mention, place)}

    async def retract(self, posted: Posted) -> None:
        """Leave a message without pictures, buttons and words about what is deleted; or delete an upload."""
        if posted.file:
            return await self.pictures.delete(posted.file)
        with chat_errors():
            await self.client.chat_update(channel=posted.channel, ts=posted.message, text=RETRACTED, blocks=[])

    async def remove(self, post: Post) -> None:
        """Delete the post's message."""
        try:
            with chat_errors():
                await self.client.chat_delete(channel=post.channel, ts=post.message)
        except MessageGone:
            return

    async def _with_pictures(
        self, post: Post, way: MessageLayout, say: Callable[[Files], Awaitable[str]], threads: bool = True
    ) -> str:
        """Say a reply with its pictures, and raise a store that fails as trouble."""
        with store_as_trouble():
            return await self._inside_or_below(post, way, say, threads)

    async def _inside_or_below(
        self, post: Post, way: MessageLayout, say: Callable[[Files], Awaitable[str]], threads: bool
    ) -> str:
        """The pictures are inside once Slack has processed them, else in the thread of the message."""
        pictures = way.reply.shown
        inside = bool(pictures) and not way.bare and time.monotonic() >= self._pictures_from_s
        if inside:
            files = await self.pictures.ids(pictures, post.extra)
            # Slack refuses blocks with a file that it still processes, and has no event for when it is done.
            for wait_s in PROCESSING_S:
                try:
                    return await say(files)
                except BlocksRefused:
                    await asyncio.sleep(wait_s)
        message = await say({})
        if inside:  # so it was they that Slack refused
            log.warning("Slack does not show uploaded pictures inside messages here; they go into threads")
            self._pictures_from_s = time.monotonic() + WITHOUT_S
            self.pictures.forget(pictures)
        if threads and way.reply.state != "working":
            try:
                await self.pictures.put_into(pictures, post.channel, post.thread or post.message or message)
            except ChatRefused as error:  # the rest is said
                log.warning("Slack does not take the pictures of job %s: %s", post.job, error)
        return message


async def _with_fallbacks(reply: Reply, say: Callable[[MessageLayout], Awaitable[T]]) -> T:
    """Say a reply as it is; where Slack never takes that, without pictures, or in bare words.

    Raises ChannelClosed where it does not take these either, and what `say` raises.
    """
    way, slow = (
        MessageLayout(reply),
        bool(reply.shown),
    )  # Slack may only be slow with the pictures, so that is tried twice
    while True:
        try:
            return await say(way)
        except UploadRefused as error:
            log.warning("Slack does not take the pictures of job %s: %s", reply.job, error)
            way, slow = replace(way, reply=without_pictures(way.reply, "Slack")), False
        except NotTaken as error:
            log.warning("Slack does not take a message of job %s: %s", reply.job, error)
            if way.bare:
                raise ChannelClosed(error, error.says) from error
            way, slow = replace(way, bare=not (slow and isinstance(error, BlocksRefused))), False


async def _looked_through(look: Callable[[dict[str, Any]], Awaitable[Any]]) -> AsyncIterator[Mapping[str, Any]]:
    """The messages of a channel or thread, page by page; raises ChatRefused and ChatTrouble."""
    page: dict[str, Any] = {"include_all_metadata": True, "limit": LOOK_BACK}
    for _ in range(PAGES):
        with chat_errors():
            answer = await look(page)
        for message in answer["messages"]:
            yield message
        cursor = (answer.get("response_metadata") or {}).get("next_cursor")
        if not answer.get("has_more") or not cursor:
            return
        page = {**page, "cursor": cursor}


def _nonce(message: Mapping[str, Any]) -> str:
    return str(message.get("metadata", {}).get("event_payload", {}).get("nonce", ""))

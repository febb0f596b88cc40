"""Posts on Slack: messages by the bot's own token, which never ends, with their pictures inside."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from slack_sdk.errors import SlackApiError
from slack_sdk.models.blocks import Block
from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.webhook.async_client import AsyncWebhookClient

from bot.following.posts import (
    RETRACTED,
    ChannelClosed,
    ChatTrouble,
    MessageGone,
    Post,
    Poster,
    store_as_trouble,
    without_pictures,
)
from bot.messages import Reply
from bot.slack.asked import RESPONSE_URL
from bot.slack.blocks import blocks, fallback
from bot.slack.client import BlocksRefused, meaning
from bot.slack.files import Pictures, UploadRefused
from bot.slack.people import People
from storage.files import Store
from storage.posted import Posted

log = logging.getLogger(__name__)

RESPONSE_URL_S = 25 * 60.0  # it ends after half an hour
PROCESSING_S = (0.5, 1.0, 2.0, 4.0)  # how long Slack may take until an uploaded picture can be shown
WITHOUT_S = 600.0  # until pictures inside messages are tried again where Slack does not take them
EVENT = "darkroom_said"  # type of the metadata in which a message carries its nonce
LOOK_BACK = 200  # messages
QUIET: dict[str, Any] = {"parse": "none", "link_names": False}  # nothing in a text calls anybody
NO_PREVIEWS: dict[str, Any] = {"unfurl_links": False, "unfurl_media": False}

Files = Mapping[str, str]  # Slack's ids by key of the picture


def begun(job: str) -> str:
    """The nonce of the message that a job begins with."""
    return f"{job}:begun"


class SlackPoster(Poster):
    """What Slack can do with posts."""

    platform = "slack"
    secrets_last_s = 30 * 60.0
    edit_every_s = 3.0
    channel_rate = (1, 1.0)  # about one message a second in a channel
    space_rate = (50, 60.0)  # chat.update is of tier 3: fifty a minute

    def __init__(self, client: AsyncWebClient, store: Store, people: People | None = None) -> None:
        self.client, self.store, self.pictures = client, store, Pictures(client, store)
        self.people = people or People(client)
        self._doubtful: set[str] = set()  # nonces of which nobody knows whether they were said
        self._pictures_from_s = 0.0  # when messages may have pictures inside again; some workspaces never take them

    async def send(self, post: Post, reply: Reply, *, nonce: str, mention: bool) -> str:
        """Say something new: with a mention in the thread of the post, else in its place."""
        if nonce in self._doubtful and (said := await self.find(post, nonce)):
            return said
        whom = post.user if mention else ""
        metadata = {"event_type": EVENT, "event_payload": {"nonce": nonce, "job": post.job}}

        async def say(files: Files, thread: str) -> str:
            laid = await self._laid(reply, files, whom)
            text = fallback(reply, whom)
            more: dict[str, Any] = {"thread_ts": thread} if thread else {}
            with meaning():
                answer = await self.client.chat_postMessage(
                    channel=post.channel, text=text, blocks=laid, metadata=metadata, **more, **QUIET, **NO_PREVIEWS
                )
            return str(answer["ts"])

        thread = post.thread or (post.message if mention else "")
        try:
            message = await self._with_pictures(post, reply, lambda files: say(files, thread))
        except MessageGone:  # the message above the thread is deleted
            message = await self._with_pictures(post, reply, lambda files: say(files, ""))
        except UploadRefused:
            return await self.send(post, without_pictures(reply, "Slack"), nonce=nonce, mention=mention)
        except ChatTrouble:
            self._doubtful.add(nonce)
            raise
        self._doubtful.discard(nonce)
        await self.note_posted(reply, post.channel, message)
        return message

    async def find(self, post: Post, nonce: str) -> str | None:
        """Look for a message with this nonce, in the thread and in the channel; None also where we may not look."""
        since = f"{post.asked_s - 60:.6f}"
        common: dict[str, Any] = {"channel": post.channel, "include_all_metadata": True, "limit": LOOK_BACK}
        found: list[dict[str, Any]] = []
        try:
            if thread := post.thread or post.message:
                found += (await self.client.conversations_replies(ts=thread, **common))["messages"]
        except SlackApiError as error:
            log.debug("no thread to look through: %s", error)
        try:
            found += (await self.client.conversations_history(oldest=since, **common))["messages"]
        except SlackApiError as error:
            log.debug("no history to look through: %s", error)
        return next((str(m["ts"]) for m in found if _nonce(m) == nonce), None)

    async def edit(self, post: Post, reply: Reply) -> Post:
        """Make the post's message say `reply`; the ids of its pictures are remembered in the post."""
        message = post.message or await self.find(post, begun(post.job))
        if not message:
            raise MessageGone("it was never posted")
        shown: Files = {}

        async def say(files: Files) -> str:
            nonlocal shown
            laid = await self._laid(reply, files)
            with meaning():
                await self.client.chat_update(
                    channel=post.channel, ts=message, text=fallback(reply), blocks=laid, **QUIET
                )
            shown = files
            return message

        try:
            await self._with_pictures(post, reply, say)
        except UploadRefused:
            return await self.edit(post, without_pictures(reply, "Slack"))
        await self.note_posted(reply, post.channel, message)
        kept = {name: value for name, value in post.extra.items() if name == RESPONSE_URL}
        return post.model_copy(update={"message": message, "extra": {**kept, **shown}})

    async def whisper(self, post: Post, reply: Reply) -> None:
        """Tell who asked: as an answer only they see, or where that is not possible in a direct message."""
        try:
            await self._with_pictures(post, reply, lambda files: self._whisper(post, reply, files), threads=False)
        except UploadRefused:
            await self.whisper(post, without_pictures(reply, "Slack"))
        except ChannelClosed:
            with meaning():
                direct = (await self.client.conversations_open(users=post.user))["channel"]["id"]
            there = post.model_copy(update={"channel": direct, "thread": "", "message": ""})
            await self.send(there, reply, nonce=f"{post.job}:whisper", mention=False)

    async def _whisper(self, post: Post, reply: Reply, files: Files) -> str:
        said: dict[str, Any] = {"text": fallback(reply)}
        said["blocks"] = await self._laid(reply, files)
        url = post.extra.get(RESPONSE_URL)
        with meaning():
            if url and time.time() - post.asked_s < RESPONSE_URL_S:
                hook = AsyncWebhookClient(url, session=self.client.session)
                answer = await hook.send(response_type="ephemeral", replace_original=False, **said)
                if answer.status_code == 200:
                    return ""
            more: dict[str, Any] = {"thread_ts": post.thread} if post.thread else {}
            await self.client.chat_postEphemeral(channel=post.channel, user=post.user, **said, **more, **QUIET)
        return ""

    async def _laid(self, reply: Reply, files: Files, mention: str = "") -> list[Block]:
        return await blocks(self.store, reply, files, mention, await self.people.place_name(reply.place))

    async def retract(self, posted: Posted) -> None:
        """Leave a message without pictures, buttons and words about what is deleted; or delete an upload."""
        with meaning():
            if posted.file:
                await self.pictures.delete(posted.file)
            else:
                await self.client.chat_update(channel=posted.channel, ts=posted.message, text=RETRACTED, blocks=[])

    async def remove(self, post: Post) -> None:
        """Delete the post's message."""
        try:
            with meaning():
                await self.client.chat_delete(channel=post.channel, ts=post.message)
        except MessageGone:
            return

    async def _with_pictures(
        self, post: Post, reply: Reply, say: Callable[[Files], Awaitable[str]], threads: bool = True
    ) -> str:
        """Say a reply with its pictures, and raise a store that fails as trouble."""
        with store_as_trouble():
            return await self._inside_or_below(post, reply, say, threads)

    async def _inside_or_below(
        self, post: Post, reply: Reply, say: Callable[[Files], Awaitable[str]], threads: bool
    ) -> str:
        """The pictures are inside once Slack has processed them, else in the thread of the message."""
        pictures = reply.shown
        inside = bool(pictures) and time.monotonic() >= self._pictures_from_s
        if inside:
            files = await self.pictures.ids(pictures, post.extra)
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
        if threads and reply.state != "working":
            try:
                await self.pictures.put_into(pictures, post.channel, post.thread or post.message or message)
            except UploadRefused as error:  # the rest is said
                log.warning("Slack does not take the pictures of job %s: %s", post.job, error)
        return message


def _nonce(message: Mapping[str, Any]) -> str:
    return str(message.get("metadata", {}).get("event_payload", {}).get("nonce", ""))

"""What the follower does with messages, on Discord.

A message that answers an interaction is edited with the token of that interaction, for as long as it lives: that
works even where the bot may not write. Then, and for everything else, the bot writes with its own token.
"""

import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar, cast

import discord

from bot.connectors.discord.errors import TokenExpired, chat_errors
from bot.connectors.discord.render import is_marked_up, pages, render
from bot.connectors.discord.request import place_name, private_space
from bot.connectors.discord.uploads import SMALL, USUAL, UploadSize, files
from bot.core.messages import Reply
from bot.delivery.posts import (
    RETRACTED,
    ChannelClosed,
    ChatRefused,
    MessageGone,
    NotTaken,
    Post,
    Poster,
    UnknownTrouble,
    store_as_trouble,
    without_pictures,
)
from storage.contract.outcomes import Picture
from storage.contract.posted_messages import Posted
from storage.objects.store import Store

log = logging.getLogger(__name__)

T = TypeVar("T")
TOKEN_LIVES_S = 14 * 60.0  # a minute less than it does, for clocks differ
ORIGINAL = cast(int, "@original")  # discord.py would have a number, and passes on what it is given
DEAD_KEPT = 1000
LOOKED_AT = 500  # messages after a post, when looking for its announcement


class DiscordPoster(Poster):
    """Posts of one bot."""

    platform = "discord"
    secrets_last_s = 15 * 60.0
    edit_every_s = 5.0
    channel_rate = (4, 5.0)  # Discord takes five in five seconds
    space_rate = (20, 1.0)  # and fifty a second of a bot in all

    def __init__(self, client: discord.Client, store: Store) -> None:
        self.client, self.store = client, store
        self._dead: deque[str] = deque(maxlen=DEAD_KEPT)  # tokens that were over before their time

    def rate_limit_key(self, post: Post) -> str:
        """Discord counts the edits that a token makes apart from those of the bot in a channel."""
        return self._editing_token(post) or super().rate_limit_key(post)

    def pages(self, reply: Reply) -> list[str]:
        """The text in pieces where that is longer than a message, as answers to questions may be."""
        parts = pages(reply) if is_marked_up(reply) else []
        return parts if len(parts) > 1 else []

    async def send(self, post: Post, reply: Reply, *, nonce: str, mention: bool) -> str:
        """Say something new in the post's channel, as an answer to its message."""

        async def say(reply: Reply, size: UploadSize, answers: bool = bool(post.message)) -> str:
            parts = await self._parts(post, reply, reply.shown, size, post.user if mention else "")
            mentioned = [discord.Object(int(post.user))] if mention else False
            parts["allowed_mentions"] = discord.AllowedMentions(
                everyone=False, roles=False, replied_user=False, users=mentioned
            )
            if answers:
                parts["reference"] = discord.MessageReference(
                    message_id=int(post.message), channel_id=int(post.channel), fail_if_not_exists=False
                )
            try:
                async with chat_errors():
                    return str((await self._channel(post).send(nonce=nonce, **_send_arguments(parts))).id)
            except MessageGone:  # it may not be answered
                if not answers:
                    raise
                return await say(reply, size, answers=False)

        message = await _with_fallbacks(reply, say)
        await self.note_posted(reply, post.channel, message)
        return message

    async def find(self, post: Post, nonce: str) -> str | None:
        """The announcement that answers the post's message; None also where we may not look.

        Discord does not tell nonces afterwards. Raises ChatTrouble where it does not say: then nobody knows.
        """
        if not post.message or not self.client.user:
            return None
        after = discord.Object(int(post.message))
        try:
            async with chat_errors():
                async for message in self._channel(post).history(limit=LOOKED_AT, after=after):
                    answers = message.reference and message.reference.message_id == after.id
                    if answers and message.author.id == self.client.user.id and not message.interaction_metadata:
                        return str(message.id)
        except ChatRefused as error:
            log.debug("no messages to look through: %s", error)
        return None

    async def edit(self, post: Post, reply: Reply) -> Post:
        """Make the message say `reply`; its pictures are sent again only if they are others."""
        shown = " ".join(picture.key for picture in reply.shown)
        there = shown == post.extra.get("shown", "" if post.fresh else None)
        await self.note_posted(reply, post.channel, post.message)  # before it is read, and replied to

        async def say(reply: Reply, size: UploadSize) -> str:
            parts = await self._parts(post, reply, None if there else reply.shown, size)
            async with chat_errors():
                if not (token := self._editing_token(post)):
                    await self._message(post).edit(**parts)
                    return post.message
                message = await self._webhook(token).edit_message(ORIGINAL, **parts)
                return post.message or (str(message.id) if post.fresh else "")

        try:
            message = await _with_fallbacks(reply, say)
        except TokenExpired:
            return await self.edit(self._without_token(post), reply)
        await self.note_posted(reply, post.channel, message)
        return post.model_copy(update={"message": message, "extra": {**post.extra, "shown": shown}})

    async def send_ephemeral(self, post: Post, reply: Reply) -> None:
        """Send a message that only the asker sees: in the channel while the token lives, else in private.

        That is another space than a server, where buttons about a server's jobs and subjects would find nothing.
        """
        token = self._living_token(post)
        if not token and post.space != private_space(post.user):
            reply = reply.model_copy(update={"buttons": (), "picks": ()})

        async def say(reply: Reply, size: UploadSize) -> None:
            parts = _send_arguments(await self._parts(post, reply, reply.shown, size))
            async with chat_errors():
                if token:
                    await self._webhook(token).send(ephemeral=True, wait=True, **parts)
                else:
                    private = await self.client.create_dm(discord.Object(int(post.user)))
                    message = await private.send(**parts)
                    await self.note_posted(reply, str(private.id), str(message.id))

        try:
            await _with_fallbacks(reply, say)
        except (ChatRefused, UnknownTrouble):
            if not post.extra.get("token"):
                raise
            await self.send_ephemeral(self._without_token(post), reply)

    async def retract(self, posted: Posted) -> None:
        """Leave a message without pictures, buttons and words about what is deleted."""
        channel = self.client.get_partial_messageable(int(posted.channel))
        async with chat_errors():
            message = channel.get_partial_message(int(posted.message))
            await message.edit(content=RETRACTED, embeds=[], attachments=[], view=None)

    async def remove(self, post: Post) -> None:
        """Take the message away."""
        try:
            async with chat_errors():
                if token := self._editing_token(post):
                    await self._webhook(token).delete_message(ORIGINAL)
                elif post.message:
                    await self._message(post).delete()
        except TokenExpired:
            await self.remove(self._without_token(post))
        except MessageGone:
            return

    def _living_token(self, post: Post) -> str:
        """The token of the interaction that the post answers; empty when it is over."""
        token = post.extra.get("token", "") if time.time() - post.asked_s < TOKEN_LIVES_S else ""
        return "" if token in self._dead else token

    def _editing_token(self, post: Post) -> str:
        """The interaction's token, if the post's message is the one that it edits: `aside` means another."""
        return "" if post.extra.get("aside") else self._living_token(post)

    def _without_token(self, post: Post) -> Post:
        """The post without its interaction's token, which is of no use: it is edited with the bot's own one."""
        self._dead.append(post.extra.get("token", ""))
        return post.model_copy(update={"extra": {k: v for k, v in post.extra.items() if k != "token"}})

    def _channel(self, post: Post) -> discord.PartialMessageable:
        return self.client.get_partial_messageable(int(post.channel))

    def _message(self, post: Post) -> discord.PartialMessage:
        if not post.message:
            raise MessageGone("its id was never learned")
        return self._channel(post).get_partial_message(int(post.message))

    def _webhook(self, token: str) -> discord.Webhook:
        assert self.client.application_id
        about: Any = {"id": self.client.application_id, "type": 3, "token": token}
        # As discord.py makes them for its interactions; those of `partial` are ephemeral to nobody.
        return discord.Webhook.from_state(about, self.client._connection)

    async def _parts(
        self, post: Post, reply: Reply, pictures: Sequence[Picture] | None, size: UploadSize, mention: str = ""
    ) -> dict[str, Any]:
        """Everything to be said, as discord.py's methods that edit take it; `pictures` None leaves those there are."""
        with store_as_trouble():
            # Rendering may write long button ids to the store, so a store that fails is an outage of the message.
            rendered = await render(self.store, reply, mention, place_name(self.client, post.space, reply.place))
            parts = {"content": rendered.content, "embeds": rendered.embeds, "view": rendered.view}
            return parts if pictures is None else {**parts, "attachments": await files(self.store, pictures, size)}


async def _with_fallbacks(reply: Reply, say: Callable[[Reply, UploadSize], Awaitable[T]]) -> T:
    """Say a reply as it is; where Discord never takes that, with smaller pictures, with none, in bare words."""
    bare = without_pictures(reply, "Discord")
    ways = ((reply, USUAL), (reply, SMALL), (bare, USUAL)) if reply.shown else ((reply, USUAL),)
    refused: NotTaken | None = None
    for way in (*ways, (Reply(text=bare.text), USUAL)):
        try:
            return await say(*way)
        except NotTaken as error:
            log.warning("Discord does not take a message of job %s: %s", reply.job, error)
            refused = error
    # Plain words were refused as well, so it is the place that takes nothing.
    raise ChannelClosed(f"Discord takes the message in no form: {refused}")


def _send_arguments(parts: dict[str, Any]) -> dict[str, Any]:
    """Discord.py calls new files by another name, and takes no None."""
    renamed = {("files" if name == "attachments" else name): part for name, part in parts.items()}
    return {name: part for name, part in renamed.items() if part is not None}

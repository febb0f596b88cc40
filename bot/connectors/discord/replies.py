"""Replies to answers on Discord: who replies to an answer of the bot asks a question that follows up on it.

Discord gives an app the text of messages that mention it, as a reply with a ping does, and of private messages, without
the privileged intent: https://docs.discord.com/developers/events/gateway#message-content-intent
"""

import logging
import re

import discord

from bot.app import Darkroom
from bot.commands.ask import question_posted_as
from bot.connectors.discord.poster import DiscordPoster
from bot.connectors.discord.request import private_space, secluded_place
from bot.core.error_replies import error_reply
from bot.core.messages import Reply, Request
from bot.delivery.follower import Follower
from bot.delivery.posts import ChatRefused, ChatTrouble, Post

log = logging.getLogger(__name__)

ON_IT = Reply(text="On it.", state="working")
MENTION = re.compile(r"<@!?\d+>")


class ReplyHandler:
    """The handler of messages that reply to the bot's."""

    def __init__(self, app: Darkroom, follower: Follower, poster: DiscordPoster) -> None:
        self.app, self.follower, self.poster = app, follower, poster

    async def hear(self, message: discord.Message, bot_id: int) -> None:
        """Answer a message if it replies to an answer. Never raises, but for cancellation."""
        text = MENTION.sub("", message.content).strip()
        if not text or not _is_reply(message, bot_id):
            return
        try:
            request = await self._request(message, text)
            if request and await self.app.first(f"discord:message:{message.id}"):
                await self._answer(message, request)
        except (ChatRefused, ChatTrouble) as error:
            log.warning("a reply of %s is not answered: %s", message.author.id, error)
        except Exception as error:
            await self.follower.chat.send_ephemeral(
                _post(message, request_of(message, text)), error_reply(error, "a reply")
            )

    async def _request(self, message: discord.Message, text: str) -> Request | None:
        """The question as a request; None if the message that it replies to is no answer that the person may see."""
        request = request_of(message, text)
        assert message.reference
        if not await self.app.limits.may_look_up(request):
            return None
        before = await question_posted_as(self.app, request, str(message.reference.message_id))
        if before is None:
            return None
        return request.model_copy(update={"arguments": {"question": text, "follow": before.id}})

    async def _answer(self, message: discord.Message, request: Request) -> None:
        """Reply to the message, then show the answer there."""
        post = _post(message, request)
        await self.follower.note(post)
        try:
            message_id = await self.follower.chat.begin(post, ON_IT, request.id)
        except (ChatRefused, ChatTrouble):
            await self.follower.chat.close(post)
            raise
        post = post.model_copy(update={"message": message_id, "fresh": True})
        await self.follower.note(post)  # so that after a restart it is this message that is edited
        try:
            await self.follower.answer(request, post)
        except Exception:
            await self.follower.chat.close(post)
            raise


def request_of(message: discord.Message, text: str) -> Request:
    """A message as a request to ask; whom it comes from moderates nothing by it."""
    member, guild = message.author, message.guild
    thread = message.channel if isinstance(message.channel, discord.Thread) else None
    here = str(message.channel.id)
    return Request(
        space=f"discord:{guild.id}" if guild else private_space(member.id),
        user=str(member.id),
        command="ask",
        arguments={"question": text},
        channel=str(thread.parent_id) if thread else here,
        thread=here if thread else "",
        secluded=secluded_place(guild, message.channel, message.channel.id) if guild else "",
        groups=tuple(map(str, member._roles)) if isinstance(member, discord.Member) else (),
    )


def _is_reply(message: discord.Message, bot_id: int) -> bool:
    """Whether a person replies to a message, and addresses the bot by that."""
    if message.author.bot or not message.reference or message.type is not discord.MessageType.reply:
        return False
    return not message.guild or any(user.id == bot_id for user in message.mentions)


def _post(message: discord.Message, request: Request) -> Post:
    return Post(
        platform=DiscordPoster.platform,
        job=request.id,
        space=request.space,
        channel=str(message.channel.id),
        user=request.user,
        message=str(message.id),
        fresh=False,
        request=request,
    )

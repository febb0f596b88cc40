"""Get a word across in a chat: at its pace, again after trouble, in a new message or in private where that is all."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import lru_cache
from typing import TypeVar

from aiolimiter import AsyncLimiter
from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception_type,
    stop_before_delay,
    stop_never,
    wait_random_exponential,
)

from bot.following.open_posts import Posts
from bot.following.posts import (
    ChannelClosed,
    ChatTrouble,
    MessageGone,
    Post,
    Poster,
    TooFast,
    store_as_trouble,
)
from bot.messages import Reply

log = logging.getLogger(__name__)

T = TypeVar("T")
OWED = None  # a last word is tried until it is said
WHISPER_S = 60.0  # a word in private is tried for so long, unless it is a last one
SHORT_S = 1.0  # so long for one that will be overtaken soon
PAUSE_S = 300.0  # between two tries at most
REMEMBERED = 1024  # lanes and spaces whose pace is kept; a lane counts for seconds, and weighs almost a kilobyte


class Insisting:
    """A chat as the follower wants it: what can be said is said."""

    def __init__(self, poster: Poster, posts: Posts) -> None:
        self.poster, self.posts = poster, posts
        self._lane = lru_cache(REMEMBERED)(lambda _: AsyncLimiter(*poster.channel_rate))
        self._space = lru_cache(REMEMBERED)(lambda _: AsyncLimiter(*poster.space_rate))

    async def show(self, post: Post, reply: Reply, insist: bool = False, told: bool = False) -> Post:
        """Make the post's message say `reply`; return the post as it is now.

        Progress is let go on trouble, for there will be more of it. Who asked is told in private only what is
        insisted on and what they were not `told` already.
        """
        try:
            return await self._again(post, lambda: self._edit(post, reply), OWED if insist else SHORT_S)
        except ChannelClosed as error:
            log.info("nothing can be said in channel %s any more: %s", post.channel, error)
            if insist and not told:
                await self.whisper(post, reply, OWED)
        except ChatTrouble as error:
            log.warning("message of job %s: %s", post.job, error)
            await asyncio.sleep(error.retry_after_s if isinstance(error, TooFast) else 0)
        return post

    async def announce(self, post: Post, reply: Reply) -> Post:
        """Tell who asked in a message of its own, once: after a crash in the middle of it, look first."""
        nonce = post.job
        try:
            said = await self._again(post, lambda: self.poster.find(post, nonce), OWED) if post.last_word else None
            if said:
                return post
            post = post.model_copy(update={"last_word": True})
            await self.keep(post)
            await self._again(post, lambda: self.poster.send(post, reply, nonce=nonce, mention=True), OWED)
        except ChannelClosed:
            await self.whisper(post, reply, OWED)
        return post

    async def refuse(self, post: Post, reply: Reply) -> None:
        """Tell who asked what is wrong, and take the message away if it stood for nothing else."""
        try:
            if post.fresh:
                await self.poster.remove(post)
        except (ChannelClosed, ChatTrouble) as error:
            log.warning("message %s stays: %s", post.message, error)
        await self.whisper(post, reply)

    async def _edit(self, post: Post, reply: Reply) -> Post:
        try:
            return await self.poster.edit(post, reply)
        except MessageGone:
            nonce = f"{post.job[-12:]}{post.message[-8:]}"
            message = await self.poster.send(post, reply, nonce=nonce, mention=False)
            post = post.model_copy(update={"message": message, "extra": {}})
            await self.keep(post)  # apart from what is tried again: the new message is there, and one is enough
            return post

    async def whisper(self, post: Post, reply: Reply, longest_s: float | None = WHISPER_S) -> None:
        """Tell who asked, and nobody else, as long as there is a way.

        That answers one thing that a person did, so it does not wait behind all that is said to others.
        """
        try:
            await self._again(post, lambda: self.poster.whisper(post, reply), longest_s, paced=False)
        except (ChannelClosed, ChatTrouble) as error:
            log.warning("%s could not be told: %s", post.user, error)

    async def close(self, post: Post) -> None:
        """Forget a post whose last word is said, however long the store takes: it would be said again."""
        await self.prepared(post, lambda: self.posts.close(post))

    async def prepared(self, post: Post, make: Callable[[], Awaitable[T]]) -> T:
        """Make what a last word needs of the store, however long that takes; raises Missing."""
        return await self._again(post, make, OWED, paced=False)

    async def keep(self, post: Post) -> None:
        """Write a post down as it is now, however long the store takes."""
        await self.prepared(post, lambda: self.posts.write(post))

    async def _again(
        self, post: Post, say: Callable[[], Awaitable[T]], longest_s: float | None, paced: bool = True
    ) -> T:
        """Say something, at the pace of channel and space if `paced`, until it works or `longest_s` are over."""
        retrying = AsyncRetrying(
            retry=retry_if_exception_type(ChatTrouble),
            wait=patience,
            stop=stop_never if longest_s is OWED else stop_before_delay(longest_s),
            before_sleep=lambda state: _warn(post, state),
            reraise=True,
        )
        async for attempt in retrying:
            with attempt, store_as_trouble():
                if paced:
                    await self._lane(self.poster.lane(post)).acquire()
                    await self._space(post.space).acquire()
                said = await say()
        return said


def patience(state: RetryCallState) -> float:
    """As long as the chat asks for, else exponentially longer with jitter (Full Jitter, AWS 2015)."""
    error = state.outcome.exception() if state.outcome else None
    return error.retry_after_s if isinstance(error, TooFast) else wait_random_exponential(0.5, PAUSE_S)(state)


def _warn(post: Post, state: RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    level = logging.INFO if isinstance(error, TooFast) else logging.WARNING
    log.log(level, "message of job %s: %s; again in %.1f s", post.job, error, state.upcoming_sleep)

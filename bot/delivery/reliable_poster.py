"""Get a word across in a chat: at its pace, again after trouble, in a new message or in private where that is all."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from functools import lru_cache, partial
from typing import TypeVar

from aiolimiter import AsyncLimiter
from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception_type,
    retry_if_not_exception_type,
    wait_random_exponential,
)
from tenacity.stop import stop_base

from bot.core.messages import Reply
from bot.delivery.post_store import PostStore
from bot.delivery.posts import (
    BotRefused,
    ChatRefused,
    ChatTrouble,
    MessageGone,
    Post,
    Poster,
    RateLimited,
    UnknownTrouble,
    store_as_trouble,
)
from storage.recent_set import RecentSet

log = logging.getLogger(__name__)

T = TypeVar("T")
OWED = None  # a last word is tried until it is said
EPHEMERAL_S = 60.0  # a word in private is tried for so long, unless it is a last one
SHORT_S = 1.0  # so long for one that will be overtaken soon
BEGIN_S = 60.0  # so long for the message that a job begins with: without one no job is accepted
UNKNOWN_S = 60.0  # so long for anything that fails with an answer that is in no table
PAUSE_S = 300.0  # between two tries at most
LEAST_S = 1.0  # that a rate limit lasts: "Retry-After: 0", and a date that is over, are no leave to ask without end
BOUNDED = (UnknownTrouble, BotRefused)
GIVEN_UP = (ChatRefused, *BOUNDED)  # what `_again` raises of last words: all else is tried until it works
REMEMBERED = 1024  # lanes and spaces whose pace is kept; a lane counts for seconds, and weighs almost a kilobyte


class ReliablePoster:
    """A poster with retries and rate limits, and with fallbacks where a chat refuses a message for good."""

    def __init__(self, poster: Poster, posts: PostStore) -> None:
        self.poster, self.posts = poster, posts
        self._channel_limiter = lru_cache(REMEMBERED)(lambda _: AsyncLimiter(*poster.channel_rate))
        self._refused = RecentSet[str](REMEMBERED)  # jobs of which nothing more can be said where they were asked for
        self._space_limiter = lru_cache(REMEMBERED)(lambda _: AsyncLimiter(*poster.space_rate))

    async def begin(self, post: Post, reply: Reply, nonce: str) -> str:
        """Say the first word on a request in its place, before anything is spent on it; return the message's id.

        Raises ChatRefused, UnknownTrouble or BotRefused where the chat does not take it, ChatTrouble where it does not
        answer for a minute.
        """
        say = partial(self.poster.send, post, reply, nonce=nonce, mention=False)
        return await self._again(post, say, BEGIN_S, paced=False, unless=BotRefused)

    async def show(self, post: Post, reply: Reply, final: bool = False, announced: bool = False) -> Post:
        """Make the post's message say `reply`; return the post as it is now.

        Progress is let go on trouble, for there will be more of it, and after a refusal is not shown any more. Who
        asked reads in private only `final` replies, and those that were not `announced` to them already.
        """
        # Nobody could read the progress of a job where its messages are refused; its end is told in private.
        if post.job in self._refused and not final:
            return post
        try:
            return await self._again(post, lambda: self._edit(post, reply), OWED if final else SHORT_S)
        except GIVEN_UP as error:
            if final or isinstance(error, ChatRefused):
                self._note_refusal(post, error)
            else:
                log.warning("message of job %s: %s", post.job, error)
            if final and not announced:
                await self.send_ephemeral(post, _with_reason(reply, error), OWED)
        except ChatTrouble as error:
            log.warning("message of job %s: %s", post.job, error)
            # Slept here, so that this job's next progress does not run into the same limit.
            await asyncio.sleep(error.retry_after_s if isinstance(error, RateLimited) else 0)
        return post

    async def announce(self, post: Post, reply: Reply) -> Post:
        """Announce a result in a new message, exactly once: after a crash in between, search for it first.

        Where it stays unknown whether it was said, it is said in private, which repeats nothing in the channel.
        """
        nonce = post.job
        try:
            # Searching costs a request and a permission, so it is done only if the announcement may have been made.
            posted = await self._again(post, lambda: self.poster.find(post, nonce), OWED) if post.last_word else None
            if posted:
                return post
            post = post.model_copy(update={"last_word": True})
            await self.keep(post)
            await self._again(post, lambda: self.poster.send(post, reply, nonce=nonce, mention=True), OWED)
        except GIVEN_UP as error:
            self._note_refusal(post, error)
            await self.send_ephemeral(post, _with_reason(reply, error), OWED)
        return post

    async def show_pages(self, post: Post, reply: Reply, pages: Sequence[str]) -> None:
        """Make the post's message say the first page of a long text; each other page answers the one before.

        Each is said exactly once, as an announcement is. The buttons are under the last one.
        """
        bare = reply.model_copy(update={"buttons": (), "picks": (), "facts": {}})
        *parts, last = [bare.model_copy(update={"rendered": page}) for page in pages]
        parts = [*parts, reply.model_copy(update={"rendered": last.rendered})]
        post = await self.show(post, parts[0], final=True)
        for number, part in enumerate(parts[1:], 2):
            before = post.extra.get(f"page {number - 1}", post.message)
            if f"page {number}" not in post.extra:
                message = await self._say_page(post.model_copy(update={"message": before}), part, number)
                post = post.model_copy(update={"extra": {**post.extra, f"page {number}": message}})
                await self.keep(post)

    async def _say_page(self, after: Post, part: Reply, number: int) -> str:
        """Say one further page as an answer to the post's message, unless it is there; return its id."""
        nonce = f"{after.job}-{number}"
        try:
            if posted := await self._again(after, lambda: self.poster.find(after, nonce), OWED):
                return posted
            return await self._again(after, lambda: self.poster.send(after, part, nonce=nonce, mention=False), OWED)
        except GIVEN_UP as error:
            self._note_refusal(after, error)
            await self.send_ephemeral(after, _with_reason(part, error), OWED)
            return after.message

    async def refuse(self, post: Post, reply: Reply) -> None:
        """Send the asker a refusal in private, and delete the message if it stood for nothing else."""
        try:
            # A message with a button was there before the request, and stays for others to press.
            if post.fresh:
                await self.poster.remove(post)
        except (ChatRefused, ChatTrouble) as error:
            log.warning("message %s stays: %s", post.message, error)
        await self.send_ephemeral(post, reply)

    def _note_refusal(self, post: Post, error: Exception) -> None:
        """Log once for each job that its channel refuses messages for good."""
        if post.job in self._refused:
            return
        self._refused.add(post.job)
        level = logging.ERROR if isinstance(error, BOUNDED) else logging.WARNING
        log.log(level, "nothing more is said of job %s in channel %s: %s", post.job, post.channel, error)

    async def _edit(self, post: Post, reply: Reply) -> Post:
        try:
            return await self.poster.edit(post, reply)
        except MessageGone:
            nonce = f"{post.job[-12:]}{post.message[-8:]}"
            message = await self.poster.send(post, reply, nonce=nonce, mention=False)
            post = post.model_copy(update={"message": message, "extra": {}})
            await self.keep(post)  # apart from what is tried again: the new message is there, and one is enough
            return post

    async def send_ephemeral(
        self, post: Post, reply: Reply, longest_s: float | None = EPHEMERAL_S, in_place: bool = False
    ) -> None:
        """Send a message that only the asker sees, as long as there is a way; `in_place`: edit one that is such.

        That answers one thing that a person did, so it does not wait behind all that is said to others.
        """
        say = self.poster.edit if in_place else self.poster.send_ephemeral
        try:
            await self._again(post, lambda: say(post, reply), longest_s, paced=False)
        except (ChatRefused, ChatTrouble) as error:
            level = logging.ERROR if isinstance(error, BOUNDED) else logging.WARNING
            log.log(level, "%s could not be told of job %s: %s", post.user, post.job, error)

    async def close(self, post: Post) -> None:
        """Delete a post whose final message is confirmed, however long the store takes: it would be posted again."""
        self._refused.discard(post.job)
        await self.prepared(post, lambda: self.posts.close(post))

    async def prepared(self, post: Post, make: Callable[[], Awaitable[T]]) -> T:
        """Make what a last word needs of the store, however long that takes; raises Missing."""
        return await self._again(post, make, OWED, paced=False)

    async def keep(self, post: Post) -> None:
        """Write a post down as it is now, however long the store takes."""
        await self.prepared(post, lambda: self.posts.write(post))

    async def _again(
        self,
        post: Post,
        say: Callable[[], Awaitable[T]],
        longest_s: float | None,
        paced: bool = True,
        unless: tuple[type[Exception], ...] | type[Exception] = (),
    ) -> T:
        """Say something, at the pace of channel and space if `paced`, until it works or `longest_s` are over.

        What fails with an unknown answer is tried for a bounded time; an `unless` is not tried again.
        """
        retrying = AsyncRetrying(
            retry=retry_if_exception_type(ChatTrouble) & retry_if_not_exception_type(unless),
            wait=pause_s,
            stop=RetryDeadline(longest_s),
            before_sleep=lambda state: _warn(post, state),
            reraise=True,
        )
        async for attempt in retrying:
            with attempt, store_as_trouble():
                # The channel first: whoever waits for it must not hold a place in the space's budget meanwhile.
                if paced:
                    await self._channel_limiter(self.poster.rate_limit_key(post)).acquire()
                    await self._space_limiter(post.space).acquire()
                result = await say()
        return result


class RetryDeadline(stop_base):
    """Stop before `longest_s` are over, and before unknown answers have come for longer than UNKNOWN_S."""

    def __init__(self, longest_s: float | None) -> None:
        self.longest_s = longest_s
        self._unknown_from_s: float | None = None

    def __call__(self, state: RetryCallState) -> bool:
        """Whether the next try would come too late."""
        error = state.outcome.exception() if state.outcome else None
        since_s, next_s = state.seconds_since_start or 0.0, state.upcoming_sleep
        if self.longest_s is not OWED and since_s + next_s >= self.longest_s:
            return True
        if not isinstance(error, BOUNDED):
            self._unknown_from_s = None
            return False
        if self._unknown_from_s is None:
            self._unknown_from_s = since_s
        return since_s + next_s - self._unknown_from_s >= UNKNOWN_S


def pause_s(state: RetryCallState) -> float:
    """Seconds to the next try: those that the chat asks for, else exponentially more with full jitter (AWS 2015)."""
    error = state.outcome.exception() if state.outcome else None
    if isinstance(error, RateLimited) and error.stated and error.retry_after_s >= LEAST_S:
        return error.retry_after_s
    if isinstance(error, RateLimited):  # not for how long, so twice as long each time
        return min(PAUSE_S, max(LEAST_S, error.retry_after_s) * 2.0 ** min(10, state.attempt_number - 1))
    return wait_random_exponential(0.5, PAUSE_S)(state)


def _with_reason(reply: Reply, error: Exception) -> Reply:
    """The reply with the reason why it comes in private, if that is known."""
    says = getattr(error, "says", "")
    return reply.model_copy(update={"text": f"{reply.text}\n{says}"}) if says else reply


def _warn(post: Post, state: RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    level = logging.INFO if isinstance(error, RateLimited) else logging.WARNING
    log.log(level, "message of job %s: %s; again in %.1f s", post.job, error, state.upcoming_sleep)

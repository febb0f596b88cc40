"""Messages that follow jobs to their end: progress in one message, the end posted once, also after a restart.

Messages are deleted, channels closed, chats ask for patience, and this process may die at any line: a post is kept
in the store until its last word is said, and `resume` goes on with those that a process before left.
"""

import asyncio
import logging
import time
from collections.abc import Coroutine
from contextlib import aclosing
from typing import Any, Generic, TypeVar

from bot.core.context import Application, ReplyStream
from bot.core.error_replies import error_reply
from bot.core.messages import Accepted, Fetch, Reply, Request
from bot.delivery.announcement import announcement, brief
from bot.delivery.post_store import PostStore
from bot.delivery.posts import Post, Poster
from bot.delivery.reliable_poster import ReliablePoster
from bot.delivery.retraction import Retraction
from bot.delivery.retry import OUTAGES, retrying, sentence_of
from bot.kinds import presenter_of
from storage.contract.jobs import Job
from storage.errors import Damaged, Missing, StoreError

log = logging.getLogger(__name__)

NOTE_S = 1.0  # an acknowledgement does not wait longer for the store
AGAIN_S = (10.0, 60.0, 600.0, 3600.0)  # until a job is followed anew after a surprise
OLD_S, OLD_SLOWER = 3600.0, 12  # chats let messages older than an hour be edited rarely

INTERRUPTED = "This was interrupted before it began. Please send it again."

T = TypeVar("T")


class LatestValue(Generic[T]):
    """Holds the newest of several values until it is taken: whoever is slow misses what was overtaken."""

    def __init__(self) -> None:
        self._value: T | None = None
        self._has_value = asyncio.Event()

    def put(self, value: T) -> None:
        """Leave a value in place of the one before."""
        self._value = value
        self._has_value.set()

    async def take(self) -> T:
        """Wait for a value that was not taken yet, and take it."""
        await self._has_value.wait()
        self._has_value.clear()
        assert self._value is not None
        return self._value


class Follower:
    """The open posts of one chat platform, each followed by a task."""

    def __init__(self, app: Application, poster: Poster, posts: PostStore | None = None) -> None:
        self.app, self.poster = app, poster
        self.posts = posts or PostStore(app.store, poster.platform, app.redis, poster.secrets_last_s)
        self.chat = ReliablePoster(poster, self.posts)
        self.retracting = Retraction(app.store, poster)
        # Commands retract what they delete through this: they know no chat.
        app.retract[poster.platform] = self.retracting.now
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    async def resume(self) -> None:
        """Resume the open posts of the process before."""
        left: list[Post] = await retrying("open posts cannot be read")(self.posts.open)
        for post in left:
            self.follow(post)
        self._start(self.retracting.forever())

    def follow(self, post: Post) -> None:
        """Follow a post's job in the background."""
        self._start(self._follow_through_surprises(post))

    async def _follow_through_surprises(self, post: Post) -> None:
        """Follow a post's job, and after a surprise again from what is kept of the post, a few times."""
        for pause_s in AGAIN_S:
            try:
                return await self.follow_to_end(post)
            except Exception:
                log.exception("surprise while following job %s: again in %.0f s", post.job, pause_s)
            await asyncio.sleep(pause_s)
            newest: Post | None = await retrying(f"message of job {post.job} cannot be read")(self.posts.newest, post)
            if newest is None:  # its last word was said
                return
            post = newest
        await self.follow_to_end(post)

    @property
    def at_rest(self) -> bool:
        """Whether there is nothing to follow."""
        return not self._tasks

    async def close(self) -> None:
        """Stop following, for good; the next process goes on from there."""
        self._closed = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def note(self, post: Post) -> None:
        """Write a post down before what it answers is acknowledged: a crash then leaves nobody waiting."""
        try:
            async with asyncio.timeout(NOTE_S):
                # Once more, for the first note before the acknowledgement had a second at most.
                await self.posts.write(post)
        except (StoreError, OSError) as error:
            log.warning("post %s could not be kept: %s", post.job, error)

    async def answer(self, request: Request, post: Post, fetch: Fetch | None = None) -> None:
        """Answer a request on the message that stands for it; its job is followed to its end in the background.

        A fresh message goes when the request is at fault; one whose button was pressed stays as it is. Either way
        the sentence is for the asker alone.
        """
        async with aclosing(self.app.answer(request, fetch)) as replies:
            accepted = await self.show_all(replies, post)
        if accepted:  # the photos are let go with the answer
            self.follow(accepted)

    async def show_all(self, replies: ReplyStream, post: Post) -> Post | None:
        """Show the replies that answer a request; return the post of a job that is accepted, to be followed now."""
        async for reply in replies:
            # From here on the job is followed by its id, as after a restart: there is one way to follow, not two.
            if isinstance(reply, Accepted):
                return post
            if reply.fault:
                await self.chat.refuse(post, reply)
            elif reply.state != "working" or post.fresh:
                post = await self.chat.show(post, reply, final=reply.state != "working")
        await self.chat.close(post)
        return None

    async def answer_with(self, fetch: Fetch | None, request: Request, post: Post) -> None:
        """The same with the files that `fetch` gets, if any came; who asked is told what goes wrong before."""
        try:
            await self.posts.write(post)
            await self.answer(request, post, fetch)
        except Exception as error:
            await self.chat.refuse(post, error_reply(error, request.command))
            await self.chat.close(post)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        if self._closed:
            return work.close()
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            log.error("surprise while following a job: it is tried again at the next start", exc_info=error)

    async def follow_to_end(self, post: Post) -> None:
        """Show a job's progress at the chat's pace, then its end, wherever it is now."""
        try:
            job = await self._job(post)
        except Damaged:
            job = None  # the end that this has is told like any other
        else:
            if job is None:
                return await self._begin_again(post)
        news: LatestValue[Reply] = LatestValue()
        try:
            async with asyncio.TaskGroup() as tasks:  # a surprise while watching ends the wait for news, too
                watching = tasks.create_task(self._watch(post.job, news))
                while (reply := await news.take()).state == "working":
                    post = await self.chat.show(post, reply)
                    await self._rest(post, watching)
        # A task group wraps what it raises, and callers tell errors by their type.
        except ExceptionGroup as group:
            raise group.exceptions[0] from group
        await self._end(post, job, reply)

    async def _begin_again(self, post: Post) -> None:
        """Answer a request anew of which nothing came before the process died; once, lest all die of it.

        Where that cannot be, its message says so. One that was there before, a question above all, stays as it is,
        and who asked is told in private.
        """
        if request := post.request:
            # Dropped from the post first: a request that kills its process must not kill every next one.
            post = post.model_copy(update={"request": None})
            await self.chat.keep(post)
            return await self.answer(request, post)
        sorry = Reply(text=INTERRUPTED, state="failed", fault="ours")
        await (self.chat.show(post, sorry, final=True) if post.fresh else self.chat.send_ephemeral(post, sorry))
        await self.chat.close(post)

    async def _rest(self, post: Post, watching: asyncio.Task[None]) -> None:
        """Wait until this message may be edited again, or until its job has ended: the end is posted at once."""
        old = time.time() - post.asked_s > OLD_S
        await asyncio.wait({watching}, timeout=self.poster.edit_every_s * (OLD_SLOWER if old else 1))

    async def _job(self, post: Post) -> Job | None:
        """Read a job, however long the store takes; None if it never began, or is deleted; raises Damaged."""

        async def read() -> Job | None:
            try:
                return await self.app.dispatch.job(post.job)
            except Missing:
                return None
            except Damaged:
                raise
            except OUTAGES as error:
                if post.fresh:
                    await self.chat.show(post, Reply(text=sentence_of(error), state="working", job=post.job))
                raise

        return await retrying(f"job {post.job} cannot be read", self.poster.retry_for_s)(read)

    async def _watch(self, job: str, news: LatestValue[Reply]) -> None:
        """Pass on what becomes of a job, through every outage of store and queue."""

        async def watch() -> None:
            try:
                async for reply in self.app.watch(job):
                    news.put(reply)
            except OUTAGES as error:
                news.put(Reply(text=sentence_of(error), state="working", job=job))
                raise

        await retrying(f"job {job} cannot be followed", self.poster.retry_for_s)(watch)

    async def _end(self, post: Post, job: Job | None, reply: Reply) -> None:
        """Say the last word: pictures take the place of their progress, a training is announced in a new message."""
        announced = self.poster.announces and job is not None and presenter_of(job).announced
        announced = announced and reply.state != "cancelled"
        if job and announced:
            post = await self.chat.announce(post, await self._announcement(post, job, reply))
            reply = brief(reply)
        # Pages are sent once the answer is final: earlier ones would have to move whenever the text grows.
        if pages := self.poster.pages(reply):
            await self.chat.show_pages(post, reply, pages)
        else:
            await self.chat.show(post, reply, final=True, announced=announced)
        await self.chat.close(post)

    async def _announcement(self, post: Post, job: Job, reply: Reply) -> Reply:
        """The reply with its contact sheet, however long the store takes; without one where that cannot be made."""
        try:
            return await self.chat.prepared(post, lambda: announcement(self.app, job, reply))
        except Exception as error:  # pictures are deleted meanwhile or damaged, and decoders raise whatever they like
            log.warning("there is no contact sheet of job %s: %r", job.id, error)
            return reply

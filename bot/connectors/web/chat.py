"""The local chat: answers requests of the page, follows their jobs, and updates every open page.

Nothing of it is lost with the process: messages are kept in the object store, and open ones are followed again.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Coroutine, Iterator, Sequence
from contextlib import aclosing, contextmanager
from typing import Any

from bot.app import Darkroom
from bot.commands import drafts
from bot.commands.drafts import Draft
from bot.connectors.web.listener import Listener
from bot.connectors.web.previews import Previews
from bot.core.chat_log import READERS, ChatLog, ChatMessage, ChatPhoto
from bot.core.local_space import SPACE
from bot.core.messages import Reply, Request
from bot.delivery.follower import Follower
from bot.delivery.in_place import InPlacePoster, NullPostStore
from bot.delivery.retry import OUTAGES, retrying
from bot.photos.uploads import Upload
from bot.photos.vetting import labels
from storage.contract.posted_messages import home_of, record_key
from storage.contract.subjects import Subject
from storage.errors import StoreError
from storage.ids import CLOCK, new_id

log = logging.getLogger(__name__)

READ_AT_ONCE = 200  # messages of the log: a page has 60
FORGETTING = {"dreambooth forget", "forget-me"}
DELETING = {"delete", "answer delete", "dreambooth cancel", *FORGETTING}  # after these, messages may be of nothing


class Chat:
    """The conversation of the local space."""

    def __init__(self, app: Darkroom) -> None:
        self.app, self.log = app, ChatLog(app.store, SPACE)
        self.messages: dict[str, ChatMessage] = {}  # oldest first; older ones are read on demand
        self._unread: list[str] = []  # names of those in the log, oldest first
        # Two pages that scroll up at once must not read the same messages twice.
        self._reading = asyncio.Lock()
        self.closing = False
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._listeners: set[Listener] = set()
        self.poster = InPlacePoster("web", self._update)
        self.follower = Follower(app, self.poster, NullPostStore())
        self.previews = Previews(app)

    async def open(self) -> None:
        """Load the latest messages, and resume those that were not finished."""
        self._unread = await self.log.names()
        await self._read_more()

    async def page(self, before: str, most: int) -> tuple[tuple[ChatMessage, ...], bool]:
        """The newest messages, or those that are older than one, oldest first; and whether there are older ones."""
        while True:
            known = [message for message in self.messages.values() if not before or message.id < before]
            if len(known) > most or not self._unread:
                return tuple(known[-most:]), len(known) > most
            await self._read_more()

    async def _read_more(self) -> None:
        """Read a page of older messages, and follow again those that were not finished."""
        async with self._reading:
            read = await self.log.read(self._unread[-READ_AT_ONCE:])
            del self._unread[-READ_AT_ONCE:]
            for message in read:
                # New messages sort below all that are shown, also after the machine's clock went back.
                CLOCK.see(message.id)
            self.messages = {message.id: message for message in read} | self.messages
            await self._sweep(read)
            for message in read:
                if message.id in self.messages and not message.answered:
                    self.follower.follow(self.poster.post(message.id))

    async def close(self) -> None:
        """Stop following; the next `open` goes on from there."""
        self.closing = True
        # Streams wait for changes: woken, they see that the chat closes, and end.
        for listener in self._listeners:
            listener.wake()
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.follower.close()

    @contextmanager
    def listening(self, listener: Listener | None = None) -> Iterator[Listener]:
        """Subscribe to changes while the block runs."""
        listener = listener or Listener()
        self._listeners.add(listener)
        try:
            yield listener
        finally:
            self._listeners.discard(listener)

    async def ask(self, request: Request, typed: str) -> ChatMessage:
        """Take a request and answer it in the background; return its message as it begins.

        What answers a question goes on with what was said then, and takes its place once it is clear.
        """
        message = ChatMessage(
            id=request.id,
            said=typed,
            command=request.command,
            photos=tuple(ChatPhoto(name=label) for label in labels(request.uploads)),
            reply=Reply(text="On it.", state="working"),
        )
        if question := self._question(request):
            photos = (*question.photos, *message.photos)
            message = message.model_copy(update={"said": question.said, "command": question.command, "photos": photos})
        # Kept before it is answered: a restart in between finds the request and answers it.
        await self._keep(message)
        self._start(message.id, self._answer(request, question))
        return message

    def _question(self, request: Request) -> ChatMessage | None:
        """The question that a request answers, if it does."""
        # The newest first: the same question may have been asked before.
        for message in reversed(self.messages.values()):
            answers = [(button.command, button.arguments) for button in message.reply.buttons]
            if message.reply.question and (request.command, request.arguments) in answers:
                return message
        return None

    async def refuse(self, typed: str, sentence: str, uploads: Sequence[Upload]) -> ChatMessage:
        """Record a message that is no command, with the sentence that says so."""
        attached = tuple(ChatPhoto(name=label) for label in labels(uploads))
        reply = Reply(text=sentence, state="failed", fault="input")
        message = ChatMessage(id=new_id(), said=typed, photos=attached, reply=reply)
        await self._keep(message)
        return message

    @property
    def at_rest(self) -> bool:
        """Whether everything that was said is answered, and kept."""
        return not self._tasks and self.follower.at_rest

    def open_jobs(self) -> list[str]:
        """Ids of the jobs that are not finished, newest first."""
        return [m.reply.job for m in reversed(self.messages.values()) if m.reply.job and not m.answered]

    async def sweep(self) -> None:
        """Take out what was deleted: messages of jobs that are gone, and pictures whose job or subject is gone."""
        await self._sweep(list(self.messages.values()))

    async def _sweep(self, messages: Sequence[ChatMessage]) -> None:
        jobs = {f"jobs/{message.reply.job}" for message in messages if message.reply.job}
        pictures = {home_of(picture.key) for message in messages for picture in message.reply.pictures}
        there = await self._there(jobs | pictures)
        for message in messages:
            reply = message.reply
            if reply.job and f"jobs/{reply.job}" not in there:
                await self._remove(message)
            elif any(home_of(picture.key) not in there for picture in reply.pictures):
                left = tuple(picture for picture in reply.pictures if home_of(picture.key) in there)
                await self._keep(message.with_reply(reply.model_copy(update={"pictures": left})))

    async def _forget(self, name: str, but: str) -> None:
        """Take out the messages that went from the log as something was forgotten.

        Message `but`, which says so, is shown as it is, and kept without the `name`.
        """
        if self.messages[but].reply.question:
            return
        ids = await self.log.ids()
        for message in [m for m in self.messages.values() if m.id < but and m.id not in ids]:
            if f"keep {message.id}" not in self._tasks:
                await self._remove(message)
        await self.log.write(self.messages[but].without(name) if name else self.messages[but])

    async def _there(self, homes: set[str]) -> set[str]:
        """Which jobs and subjects exist: the newest jobs by the index, others one by one."""
        known: set[str] = set()
        async for page in self.app.dispatch.index.of_space(SPACE):
            # One page of the index has all that is shown at first, in a single request.
            known |= {f"jobs/{job}" for job in page}
            break
        asked = sorted(homes - known - {""})
        for start in range(0, len(asked), READERS):
            some = asked[start : start + READERS]
            exist = await asyncio.gather(*(self.app.store.exists(record_key(home)) for home in some))
            known |= {home for home, exists in zip(some, exist, strict=True) if exists}
        return known

    def _start(self, message_id: str, work: Coroutine[Any, Any, None]) -> None:
        def forget(done: asyncio.Task[None]) -> None:
            # A later task may have taken its place under the same name.
            if self._tasks.get(message_id) is done:
                del self._tasks[message_id]

        self._tasks[message_id] = asyncio.create_task(work)
        self._tasks[message_id].add_done_callback(forget)

    async def _answer(self, request: Request, question: ChatMessage | None) -> None:
        """Answer a request on its message; then remove what it deleted from the page."""
        post = self.poster.post(request.id)
        try:
            async with aclosing(self._replies(request, question)) as replies:
                if accepted := await self.follower.show_all(replies, post):
                    self.follower.follow(accepted)
            asked = self.messages.get(request.id)
            if request.command in FORGETTING and asked and asked.reply.state == "done":
                await self._forget(request.arguments.get("name", ""), but=request.id)
            if request.command in DELETING:
                await self.sweep()
        except OUTAGES as error:
            log.warning("the answer to message %s cannot be kept: %s", request.id, error)
            asked = self.messages.get(request.id)
            if asked and not asked.answered:
                self.follower.follow(post)

    async def _replies(self, request: Request, question: ChatMessage | None) -> AsyncGenerator[Reply, None]:
        """The replies to a request; a question that it answers goes once that is clear."""
        async with aclosing(self.app.answer(request)) as replies:
            async for reply in replies:
                if question and (reply.job or reply.state == "done"):
                    await self._remove(question)
                yield await self._without_deleted(reply) if request.command == "delete" else reply

    async def _without_deleted(self, reply: Reply) -> Reply:
        """Where one picture was deleted, show what is left in the message that had it; give the sentence alone."""
        first_line, _, text = reply.text.partition("\n")
        if reply.job and (made := self.messages.get(reply.job)):
            await self._keep(made.with_reply(reply.model_copy(update={"text": text})))
        return Reply(text=first_line, state=reply.state, fault=reply.fault)

    async def _update(self, message_id: str, reply: Reply) -> None:
        """Show an answer; keep it where it tells something that must outlive this process.

        One to a message that was deleted meanwhile is dropped. Raises StoreError where the photos of work that is done
        cannot be looked up; of work that goes on they are with the next answer.
        """
        if not (before := self.messages.get(message_id)):
            return
        message = before.with_reply(reply)
        if message.photos and not before.reply.job:
            try:
                message = message.model_copy(update={"photos": await self._stored_photos(message.photos, reply)})
            except StoreError:
                if reply.state != "working":
                    raise
                message = before.with_reply(reply.model_copy(update={"job": None}))
        if self._listeners:
            await self.previews.request_for(reply)
        # Progress is shown and not written: it comes anew after a restart, twice a second.
        if (reply.job, reply.state) != (before.reply.job, before.reply.state):
            await self._keep(message)
        else:
            self._show(message)

    async def _stored_photos(self, photos: tuple[ChatPhoto, ...], reply: Reply) -> tuple[ChatPhoto, ...]:
        """The photos of a training, or of a question, as they were kept, in the order in which they came."""
        if reply.job:
            record: Subject | Draft | None = await self.app.subject_of(await self.app.dispatch.job(reply.job))
        elif draft := drafts.asked_about(reply):
            record = await drafts.read(self.app.store, draft)
        else:
            return photos
        keys = {photo.name: photo.key for photo in record.photos} if record else {}
        return tuple(ChatPhoto(name=photo.name, key=keys.get(photo.name, "")) for photo in photos)

    async def _keep(self, message: ChatMessage) -> None:
        self._show(message)
        try:
            await self.log.write(message)
        except StoreError as error:  # the page shows it anyway
            log.warning("message %s cannot be kept yet: %s", message.id, error)
            if (keeping := f"keep {message.id}") not in self._tasks:
                self._start(keeping, self._keep_later(message.id))

    async def _keep_later(self, message_id: str) -> None:
        await retrying(f"message {message_id} cannot be kept")(self._keep_newest, message_id)

    async def _keep_newest(self, message_id: str) -> None:
        """Keep a message as it is by the time that it is kept, unless it was removed."""
        while message := self.messages.get(message_id):
            await self.log.write(message)
            now = self.messages.get(message_id)
            if not now or (now.reply.job, now.reply.state) == (message.reply.job, message.reply.state):
                return

    def _show(self, message: ChatMessage) -> None:
        self.messages[message.id] = message
        for listener in self._listeners:
            listener.tell(message.id, message)

    async def _remove(self, message: ChatMessage) -> None:
        if (task := self._tasks.get(message.id)) and task is not asyncio.current_task():
            task.cancel()
        self.messages.pop(message.id, None)
        await self.log.remove([message])
        for listener in self._listeners:
            listener.tell(message.id, None)

"""The local chat: takes what is said on the page, follows the answers, and tells every page that is open.

Nothing of it is lost with the process: messages are kept in the object store, and open ones are followed again.
"""

import asyncio
import logging
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import aclosing, contextmanager
from typing import Any

from bot.answers import drafts
from bot.answers.drafts import Draft
from bot.app import Darkroom
from bot.following.patience import OUTAGES, patient, sentence_of
from bot.messages import Reply, Request, Upload
from bot.photos.vetting import labels
from bot.web.chat_log import Attached, ChatLog, Message
from storage.errors import Missing, StoreError
from storage.ids import CLOCK, new_id
from storage.subjects import Subject

log = logging.getLogger(__name__)

SPACE, USER = "local", "you"
FORGET_ME = "forget-me"
PERSON = Request(space=SPACE, user=USER, command="")  # whose page it is
DELETING = {
    "delete",
    "dreambooth forget",
    "dreambooth cancel",
    FORGET_ME,
}  # commands after which messages may be of nothing


class Listener:
    """What one open page has not heard yet: the newest state of each message that changed, None if it is removed."""

    def __init__(self) -> None:
        self._changed: dict[str, Message | None] = {}
        self._something = asyncio.Event()

    def tell(self, message_id: str, message: Message | None) -> None:
        """Note a change; a slow page hears only the newest of each message."""
        self._changed[message_id] = message
        self._something.set()

    def wake(self) -> None:
        """End the wait without news."""
        self._something.set()

    async def news(self, wait_s: float) -> dict[str, Message | None]:
        """Wait for changes and take them; empty after `wait_s` without any."""
        try:
            await asyncio.wait_for(self._something.wait(), wait_s)
        except TimeoutError:
            return {}
        self._something.clear()
        changed, self._changed = self._changed, {}
        return changed


class Chat:
    """The conversation of the local space."""

    def __init__(self, app: Darkroom) -> None:
        self.app, self.log = app, ChatLog(app.store, SPACE)
        self.messages: dict[str, Message] = {}  # oldest first
        self.closing = False
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._listeners: set[Listener] = set()

    async def open(self) -> None:
        """Remember everything, and follow again what was not finished."""
        self.messages = {message.id: message for message in await self.log.read()}
        for message_id in self.messages:
            CLOCK.see(message_id)
        await self.sweep()
        for message in self.messages.values():
            if not message.answered:
                self._start(message.id, self._resume(message))

    async def close(self) -> None:
        """Stop following; the next `open` goes on from there."""
        self.closing = True
        for listener in self._listeners:
            listener.wake()
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    @contextmanager
    def listening(self, listener: Listener | None = None) -> Iterator[Listener]:
        """Hear of every change while the block runs."""
        listener = listener or Listener()
        self._listeners.add(listener)
        try:
            yield listener
        finally:
            self._listeners.discard(listener)

    async def ask(self, request: Request, said: str) -> Message:
        """Take a request and answer it in the background; return its message as it begins.

        What answers a question goes on with what was said then, and takes its place once it is clear.
        """
        message = Message(
            id=request.id,
            said=said,
            command=request.command,
            photos=tuple(Attached(name=label) for label in labels(request.uploads)),
            reply=Reply(text="On it.", state="working"),
        )
        if question := self._question(request):
            photos = (*question.photos, *message.photos)
            message = message.model_copy(update={"said": question.said, "command": question.command, "photos": photos})
        await self._keep(message)
        self._start(message.id, self._answer(request, question))
        return message

    def _question(self, request: Request) -> Message | None:
        """The question that a request answers, if it does."""
        for message in reversed(self.messages.values()):
            answers = [(button.command, button.arguments) for button in message.reply.buttons]
            if message.reply.question and (request.command, request.arguments) in answers:
                return message
        return None

    async def refuse(self, said: str, sentence: str, uploads: Sequence[Upload]) -> Message:
        """Note something that was said and is no command, with the sentence that says so."""
        attached = tuple(Attached(name=label) for label in labels(uploads))
        reply = Reply(text=sentence, state="failed", fault="input")
        message = Message(id=new_id(), said=said, photos=attached, reply=reply)
        await self._keep(message)
        return message

    @property
    def at_rest(self) -> bool:
        """Whether everything that was said is answered, and kept."""
        return not self._tasks

    def open_jobs(self) -> list[str]:
        """Ids of the jobs that are not finished, newest first."""
        return [m.reply.job for m in reversed(self.messages.values()) if m.reply.job and not m.answered]

    async def sweep(self) -> None:
        """Take out what was deleted: messages of jobs that are gone, and pictures whose job or subject is gone."""
        messages = list(self.messages.values())
        names = [*await self.app.store.names("jobs/"), *await self.app.store.names("subjects/")]
        there = {_home(name) for name in names}
        for message in messages:
            reply = message.reply
            if reply.job and f"jobs/{reply.job}" not in there:
                await self._remove(message)
            elif any(_home(picture.key) not in there for picture in reply.pictures):
                left = tuple(picture for picture in reply.pictures if _home(picture.key) in there)
                await self._keep(message.with_reply(reply.model_copy(update={"pictures": left})))

    async def _forget(self, name: str, but: str) -> None:
        """Take out the messages that name a forgotten subject; message `but` is shown as it is, and kept without it."""
        if self.messages[but].reply.question:
            return
        for message in [m for m in self.messages.values() if m.id != but and m.names(name) and not m.reply.job]:
            await self._remove(message)
        await self.log.write(self.messages[but].without(name))

    def _start(self, message_id: str, work: Coroutine[Any, Any, None]) -> None:
        def forget(done: asyncio.Task[None]) -> None:
            if self._tasks.get(message_id) is done:
                del self._tasks[message_id]

        self._tasks[message_id] = asyncio.create_task(work)
        self._tasks[message_id].add_done_callback(forget)

    async def _answer(self, request: Request, question: Message | None) -> None:
        try:
            await self._show_answers(request, question)
        except OUTAGES as error:
            log.warning("the answer to message %s cannot be kept: %s", request.id, error)
            if not self.messages[request.id].answered:
                await self._resume(self.messages[request.id])

    async def _show_answers(self, request: Request, question: Message | None) -> None:
        async with aclosing(self.app.answer(request)) as replies:
            async for reply in replies:
                await self._update(request.id, reply)
                if question and (reply.job or reply.state == "done"):
                    await self._remove(question)
                if reply.job == request.id:  # accepted: from here on it is followed by id, and the photos are let go
                    self._start(request.id, self._follow(request.id))
                    return
        if request.command in DELETING:
            await self.sweep()
        if request.command == FORGET_ME and not self.messages[request.id].reply.question:
            for message in [m for m in self.messages.values() if m.id != request.id]:
                await self._remove(message)
        if request.command == "dreambooth forget" and self.messages[request.id].reply.state == "done":
            await self._forget(request.arguments.get("name", ""), but=request.id)

    async def _resume(self, message: Message) -> None:
        try:
            await self.app.dispatch.job(message.id)
        except Missing:
            text = "This was interrupted before it began. Please send it again."
            return await self._update(message.id, Reply(text=text, state="failed", fault="ours"))
        except StoreError as error:
            log.warning("cannot look for the job of message %s: %s", message.id, error)
        await self._follow(message.id)

    async def _follow(self, job: str) -> None:
        async def watch() -> None:
            try:
                async for reply in self.app.watch(job):
                    await self._update(job, reply)
            except OUTAGES as error:
                known = self.messages[job].reply.job  # if not, its photos are still to be looked up, in the store
                await self._update(job, Reply(text=sentence_of(error), state="working", job=known))
                raise

        await patient(f"job {job} cannot be followed")(watch)

    async def _update(self, message_id: str, reply: Reply) -> None:
        """Show an answer; keep it where it tells something that must outlive this process."""
        before = self.messages[message_id]
        message = before.with_reply(reply)
        if message.photos and not before.reply.job:
            message = message.model_copy(update={"photos": await self._kept_photos(message.photos, reply)})
        if (reply.job, reply.state) != (before.reply.job, before.reply.state):
            await self._keep(message)
        else:
            self._show(message)

    async def _kept_photos(self, photos: tuple[Attached, ...], reply: Reply) -> tuple[Attached, ...]:
        """The photos of a training, or of a question, as they were kept, in the order in which they came."""
        if reply.job:
            kept: Subject | Draft | None = await self.app.subject_of(await self.app.dispatch.job(reply.job))
        elif draft := drafts.asked_about(reply):
            kept = await drafts.read(self.app.store, draft)
        else:
            return photos
        keys = {photo.name: photo.key for photo in kept.photos} if kept else {}
        return tuple(Attached(name=photo.name, key=keys.get(photo.name, "")) for photo in photos)

    async def _keep(self, message: Message) -> None:
        self._show(message)
        try:
            await self.log.write(message)
        except StoreError as error:  # the page shows it anyway
            log.warning("message %s cannot be kept yet: %s", message.id, error)
            if (keeping := f"keep {message.id}") not in self._tasks:
                self._start(keeping, self._keep_later(message.id))

    async def _keep_later(self, message_id: str) -> None:
        await patient(f"message {message_id} cannot be kept")(self._keep_newest, message_id)

    async def _keep_newest(self, message_id: str) -> None:
        """Keep a message as it is by the time that it is kept, unless it was removed."""
        while message := self.messages.get(message_id):
            await self.log.write(message)
            now = self.messages.get(message_id)
            if not now or (now.reply.job, now.reply.state) == (message.reply.job, message.reply.state):
                return

    def _show(self, message: Message) -> None:
        self.messages[message.id] = message
        for listener in self._listeners:
            listener.tell(message.id, message)

    async def _remove(self, message: Message) -> None:
        if task := self._tasks.get(message.id):
            task.cancel()
        self.messages.pop(message.id, None)
        await self.log.remove([message])
        for listener in self._listeners:
            listener.tell(message.id, None)


def _home(key: str) -> str:
    """The job or subject that an object belongs to: `jobs/<id>` or `subjects/<id>`."""
    return "/".join(key.split("/")[:2])

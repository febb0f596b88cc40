"""The local chat's memory: one object per message, `chats/local/<message id>.json`."""

import asyncio
import logging
import re
import time
from collections.abc import Awaitable, Callable, Sequence

from pydantic import Field

from bot.core.messages import Reply
from storage.contract.base import Record, Stored
from storage.contract.progress import Progress
from storage.contract.records import parsed_in_part
from storage.errors import Damaged, Missing, Newer
from storage.objects.store import Store
from storage.text import any_spelling

log = logging.getLogger(__name__)

READERS = 16  # messages read at once when the log is opened: a store far away takes a while for each


class ChatPhoto(Record):
    """A photo that came with a message; `key` is the photo as it was kept for training, if it was."""

    name: str
    key: str = ""


class ChatMessage(Stored):
    """One turn of the chat: what the person said, and what the answer says now."""

    id: str
    said: str
    command: str = ""
    photos: tuple[ChatPhoto, ...] = ()
    reply: Reply
    progress: Progress | None = None  # the last that was seen: a loss curve outlives its training
    at_s: float = Field(default_factory=time.time)

    @property
    def answered(self) -> bool:
        """Whether the answer is final."""
        return self.reply.state != "working"

    def names(self, subject: str) -> bool:
        """Whether the name of a subject stands in it as such: in brackets, or among the words of a list or command."""
        word, words = any_spelling(subject), self.model_dump_json(exclude={"id", "at_s"})
        if re.search(rf"\[\s*{word}\s*\]", words, re.IGNORECASE):
            return True
        # In prompts a name without brackets is a word like any other: "rex" in somebody's sentence is not the subject.
        lists = self.command.startswith("dreambooth") or self.command in ("", "jobs", "details", "help")
        return lists and bool(re.search(rf"(?<!\w){word}(?!\w)", words, re.IGNORECASE))

    def without(self, subject: str) -> "ChatMessage":
        """The turn without the name of a subject, its buttons, facts and pictures."""
        blank = re.compile(rf"(?<!\w){any_spelling(subject)}(?!\w)", re.IGNORECASE)
        reply = Reply(text=blank.sub("…", self.reply.text), state=self.reply.state, fault=self.reply.fault)
        return self.model_copy(update={"said": blank.sub("…", self.said), "reply": reply, "progress": None})

    def with_reply(self, reply: Reply) -> "ChatMessage":
        """The turn with a newer answer in place of the one before."""
        return self.model_copy(update={"reply": reply, "progress": reply.progress or self.progress})


class ChatLog:
    """All messages of one space, in the object store."""

    def __init__(self, store: Store, space: str) -> None:
        self.store, self.prefix = store, f"chats/{space}/"

    async def ids(self) -> set[str]:
        """Ids of all messages that are kept."""
        return {name.removeprefix(self.prefix).removesuffix(".json") for name in await self.names()}

    async def names(self) -> list[str]:
        """Names of all messages, oldest first."""
        return await self.store.names(self.prefix)

    async def read(self, names: Sequence[str] | None = None) -> list[ChatMessage]:
        """All messages, oldest first, or those of these names; one that cannot be read is left out and logged."""
        names = await self.names() if names is None else names
        messages: list[ChatMessage | None] = []
        # In batches: thousands of requests at once would exhaust connections to the store.
        for start in range(0, len(names), READERS):
            messages += await asyncio.gather(*map(self._read, names[start : start + READERS]))
        return [message for message in messages if message]

    async def _read(self, key: str) -> ChatMessage | None:
        try:
            return parsed_in_part(ChatMessage, (await self.store.get(key)).data, key)
        except (Missing, Damaged, Newer) as error:
            log.warning("left out the message %s: %s", key, error)
            return None

    async def write(self, message: ChatMessage) -> None:
        """Keep a message as it is now."""
        await self.store.put(f"{self.prefix}{message.id}.json", message.model_dump_json().encode())

    async def forget(self, name: str, but: str, is_there: Callable[[str], Awaitable[bool]]) -> None:
        """Delete the messages in which a forgotten subject's name stands, `but` one; those of jobs that exist stay."""
        for message in await self.read():
            job = message.reply.job
            if message.id != but and message.names(name) and not (job and await is_there(job)):
                await self.remove([message])

    async def remove(self, messages: Sequence[ChatMessage]) -> None:
        """Delete messages for good."""
        for message in messages:
            await self.store.delete(f"{self.prefix}{message.id}.json")

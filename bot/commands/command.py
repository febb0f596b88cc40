"""A command: its name, its arguments and its handler, declared by a decorator on the handler."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, get_type_hints

from bot.arguments.arguments import Arguments, bare, required
from bot.arguments.forms import Form, fields
from bot.core.context import CommandContext, ReplyStream
from bot.core.messages import Request

Handler = Callable[[CommandContext, Request, Any], ReplyStream]
Visibility = Literal["everyone", "asker", "in place"]  # who sees the answer; in place of the message it is asked on


@dataclass(frozen=True)
class Command:
    """One command, as every chat has it."""

    name: str
    summary: str
    arguments: type[Arguments]
    answer: Handler
    answers: Visibility = "asker"
    takes_photos: bool = False
    takes_documents: bool = False
    hidden: bool = False  # sent by buttons, not typed
    asks_first: bool = False  # a question to who has typed it, for it cannot be undone
    needs_subjects: int = 0  # how many there must be for it to make sense; pages offer it only then

    @property
    def usage(self) -> str:
        """How to type it."""
        needed, others = required(self.arguments), bare(self.arguments)
        words = [self.name, *needed, *([f"[{'|'.join(others)}]"] if others else [])]
        options = " [--option value …]" if len(needed) + len(others) < len(self.arguments.model_fields) else ""
        return " ".join([words[0], *(word.upper() for word in words[1:])]) + options

    def form(self) -> Form:
        """Describe the command for a form, a completion or a page of help."""
        return Form(
            name=self.name,
            summary=self.summary,
            usage=f"/{self.usage}",
            takes_photos=self.takes_photos,
            takes_documents=self.takes_documents,
            needs_subjects=self.needs_subjects,
            fields=fields(self.arguments),
        )

    @property
    def takes_files(self) -> bool:
        """Whether files come with it."""
        return self.takes_photos or self.takes_documents


def command(name: str, summary: str, answers: Visibility = "asker", **more: Any) -> Callable[[Handler], Command]:
    """Make a handler a command; the class of its arguments is that of its parameter `given`.

    `more` are the other fields of `Command`. `bot.commands.registry` lists the commands that there are.
    """

    def declared(handler: Handler) -> Command:
        return Command(name, summary, get_type_hints(handler)["given"], handler, answers, **more)

    return declared

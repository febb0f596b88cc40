"""The commands, written once for every chat: what each is called, what it takes, what answers it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bot.arguments import (
    Arguments,
    ImagineArguments,
    JobArguments,
    Nothing,
    SubjectArguments,
    TrainArguments,
    VariationsArguments,
    check,
)
from bot.core import Answers, Bot
from bot.imagining import again, delete, imagine, variations
from bot.managing import cancel, forget, jobs, show, subjects
from bot.messages import Reply, Request
from bot.training import train
from storage.errors import UserError


async def show_help(bot: Bot, request: Request, given: Nothing) -> Answers:
    """Say what can be asked."""
    yield Reply(
        text="Send a few photos of something with /dreambooth train NAME CLASS, then draw it with /imagine.",
        facts={f"/{c.usage}": c.summary for c in COMMANDS.values() if not c.hidden},
    )


@dataclass(frozen=True)
class Command:
    """One command: how it is called, what it takes, what answers it."""

    name: str
    summary: str
    arguments: type[Arguments]
    answer: Callable[[Bot, Request, Any], Answers]
    takes_photos: bool = False
    hidden: bool = False  # sent by buttons, not typed

    @property
    def usage(self) -> str:
        """How to type it."""
        required = [f.alias or n for n, f in self.arguments.model_fields.items() if f.is_required()]
        options = " [--option value …]" if len(required) < len(self.arguments.model_fields) else ""
        return f"{self.name} {' '.join(r.upper() for r in required)}".strip() + options

    def check(self, values: dict[str, str]) -> Arguments:
        """Build the arguments; raises UserError with a sentence per problem."""
        try:
            return check(self.arguments, values)
        except ValueError as error:
            raise UserError(str(error)) from None


COMMANDS: dict[str, Command] = {
    c.name: c
    for c in (
        Command("imagine", "Draw pictures; [name] stands for a subject.", ImagineArguments, imagine),
        Command("dreambooth train", "Learn a subject from the photos you attach.", TrainArguments, train, True),
        Command("dreambooth list", "List the subjects.", Nothing, subjects),
        Command("dreambooth show", "Show one subject.", SubjectArguments, show),
        Command("dreambooth forget", "Forget a subject and delete all of it.", SubjectArguments, forget),
        Command("dreambooth cancel", "Stop a job that waits or runs.", JobArguments, cancel),
        Command("jobs", "List the jobs.", Nothing, jobs),
        Command("help", "Say what can be asked.", Nothing, show_help),
        Command("again", "Draw the same once more.", JobArguments, again, hidden=True),
        Command("variations", "Draw pictures like one of before.", VariationsArguments, variations, hidden=True),
        Command("delete", "Delete pictures.", JobArguments, delete, hidden=True),
    )
}

"""The commands, written once for every chat: what each is called, what it takes, what answers it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from bot.answers.consents import allow, refuse
from bot.answers.imagining import about, again, delete, full, imagine, variations
from bot.answers.leaving import forget_me
from bot.answers.managing import cancel, choose, forget, jobs, share, show, subjects
from bot.answers.together import together
from bot.answers.training import add_to_draft, drop_draft, retrain, train, train_draft
from bot.asking.arguments import (
    Arguments,
    ChooseArguments,
    ConsentArguments,
    DraftArguments,
    ImagineArguments,
    JobArguments,
    Nothing,
    PictureArguments,
    RetrainArguments,
    ShareArguments,
    SubjectArguments,
    TogetherArguments,
    TrainArguments,
    VariationsArguments,
    bare,
    required,
)
from bot.asking.notes import PHOTO_KINDS, PLAIN_WORDS
from bot.asking.problems import check
from bot.core import Answers, Bot
from bot.messages import Reply, Request
from storage.errors import UserError


async def show_help(bot: Bot, request: Request, given: Nothing) -> Answers:
    """Say what can be asked."""
    yield Reply(
        text="Send a few photos of something with /dreambooth train NAME CLASS, then draw it with /imagine. "
        f"{PHOTO_KINDS} {PLAIN_WORDS}",
        facts={f"/{c.usage}": c.summary for c in COMMANDS.values() if not c.hidden},
    )


@dataclass(frozen=True)
class Command:
    """One command: how it is called, what it takes, what answers it."""

    name: str
    summary: str
    arguments: type[Arguments]
    answer: Callable[[Bot, Request, Any], Answers]
    answers: Literal["everyone", "asker", "in place"] = "asker"  # who sees it; in place of the message it is asked on
    takes_photos: bool = False
    hidden: bool = False  # sent by buttons, not typed

    @property
    def usage(self) -> str:
        """How to type it."""
        needed, others = required(self.arguments), bare(self.arguments)
        words = [self.name, *needed, *([f"[{'|'.join(others)}]"] if others else [])]
        options = " [--option value …]" if len(needed) + len(others) < len(self.arguments.model_fields) else ""
        return " ".join([words[0], *(word.upper() for word in words[1:])]) + options

    def check(self, values: dict[str, str]) -> Arguments:
        """Build the arguments; raises UserError with a sentence per problem."""
        try:
            return check(self.arguments, values)
        except ValueError as error:
            raise UserError(str(error)) from None


COMMANDS: dict[str, Command] = {
    c.name: c
    for c in (
        Command("imagine", "Draw pictures; [name] stands for a subject.", ImagineArguments, imagine, "everyone"),
        Command(
            "dreambooth train", "Learn a subject from the photos you attach.", TrainArguments, train, "everyone", True
        ),
        Command("dreambooth list", "List the subjects.", Nothing, subjects),
        Command("dreambooth show", "Show one subject.", SubjectArguments, show),
        Command("dreambooth share", "Say who may draw a subject.", ShareArguments, share),
        Command("dreambooth retrain", "Learn a subject anew.", RetrainArguments, retrain, "everyone"),
        Command(
            "dreambooth together",
            "Learn subjects anew, together, so that one picture can have them all.",
            TogetherArguments,
            together,
            "everyone",
        ),
        Command("dreambooth forget", "Forget a subject and delete all of it.", SubjectArguments, forget),
        Command("forget-me", "Forget everything of yours.", Nothing, forget_me),
        Command("dreambooth cancel", "Stop a job that waits or runs.", JobArguments, cancel),
        Command("jobs", "List the jobs.", Nothing, jobs),
        Command("help", "Say what can be asked.", Nothing, show_help),
        Command("again", "Draw the same once more.", JobArguments, again, "everyone", hidden=True),
        Command(
            "variations", "Draw pictures like one of before.", VariationsArguments, variations, "everyone", hidden=True
        ),
        Command("full", "Show one picture in full size.", PictureArguments, full, "everyone", hidden=True),
        Command("details", "Tell what made some pictures.", JobArguments, about, hidden=True),
        Command("choose", "Keep one of the candidates.", ChooseArguments, choose, "in place", hidden=True),
        Command("delete", "Delete pictures.", JobArguments, delete, "in place", hidden=True),
        Command("draft train", "Train on the accepted photos.", DraftArguments, train_draft, "in place", hidden=True),
        Command(
            "draft add",
            "Add photos to those that can be used.",
            DraftArguments,
            add_to_draft,
            "in place",
            True,
            hidden=True,
        ),
        Command("consent allow", "Let photos be used.", ConsentArguments, allow, "in place", True, hidden=True),
        Command("consent refuse", "Leave photos alone.", ConsentArguments, refuse, "in place", hidden=True),
        Command("draft drop", "Do not train.", DraftArguments, drop_draft, "in place", hidden=True),
    )
}

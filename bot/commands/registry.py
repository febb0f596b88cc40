"""The command registry, shared by every chat: name, arguments and handler of each command."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from bot.arguments.arguments import (
    Arguments,
    ChooseArguments,
    ConsentArguments,
    DeleteArguments,
    DraftArguments,
    ImagineArguments,
    JobArguments,
    NoArguments,
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
from bot.arguments.ask_arguments import AddDocumentsArguments, AskArguments, DocumentArguments
from bot.arguments.forms import Form, fields
from bot.arguments.help_notes import PHOTO_KINDS, PLAIN_WORDS
from bot.arguments.validation import check
from bot.commands.ask import ask, delete_answer, related, search_again, shorter, sources
from bot.commands.consents import allow, refuse
from bot.commands.documents import add_documents, list_documents, remove_document
from bot.commands.erase_person import forget_me
from bot.commands.imagine import about, again, delete, full, imagine, variations
from bot.commands.manage import cancel, forget, jobs, share, show, subjects
from bot.commands.train import add_to_draft, choose, drop_draft, retrain, train, train_draft
from bot.commands.train_together import train_together
from bot.core.context import CommandContext, ReplyStream
from bot.core.messages import Reply, Request
from storage.errors import UserError


async def show_help(bot: CommandContext, request: Request, given: NoArguments) -> ReplyStream:
    """Show the help."""
    yield Reply(
        text="Send a few photos of something with /dreambooth train NAME CLASS, then draw it with /imagine. "
        f"{PHOTO_KINDS} {PLAIN_WORDS}",
        facts={f"/{c.usage}": c.summary for c in COMMANDS.values() if not c.hidden},
    )


@dataclass(frozen=True)
class Command:
    """One command: its name, arguments and handler."""

    name: str
    summary: str
    arguments: type[Arguments]
    answer: Callable[[CommandContext, Request, Any], ReplyStream]
    answers: Literal["everyone", "asker", "in place"] = "asker"  # who sees it; in place of the message it is asked on
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
        Command("dreambooth list", "List the subjects.", NoArguments, subjects),
        Command("dreambooth show", "Show one subject.", SubjectArguments, show, needs_subjects=1),
        Command("dreambooth share", "Share a subject: set who may draw it.", ShareArguments, share, needs_subjects=1),
        Command(
            "dreambooth retrain", "Train a subject again.", RetrainArguments, retrain, "everyone", needs_subjects=1
        ),
        Command(
            "dreambooth together",
            "Train subjects together, so that one picture can show them all.",
            TogetherArguments,
            train_together,
            "everyone",
            needs_subjects=2,
        ),
        Command(
            "dreambooth forget",
            "Delete a subject with its photos, weights and pictures.",
            SubjectArguments,
            forget,
            asks_first=True,
            needs_subjects=1,
        ),
        Command("forget-me", "Delete all of your data.", NoArguments, forget_me, asks_first=True),
        Command("ask", "Ask a question; the answer cites its sources.", AskArguments, ask, "everyone"),
        Command(
            "documents add",
            "Add documents that questions are answered from.",
            AddDocumentsArguments,
            add_documents,
            takes_documents=True,
        ),
        Command("documents list", "List the documents.", NoArguments, list_documents),
        Command("documents remove", "Delete a document.", DocumentArguments, remove_document),
        Command("dreambooth cancel", "Cancel a queued or running job.", JobArguments, cancel),
        Command("jobs", "List the jobs.", NoArguments, jobs),
        Command("help", "Show the help: all commands.", NoArguments, show_help),
        Command("search again", "Look for an answer anew.", JobArguments, search_again, "everyone", hidden=True),
        Command("shorter", "Answer in two sentences.", JobArguments, shorter, "everyone", hidden=True),
        Command("sources", "Show the sources of an answer.", JobArguments, sources, hidden=True),
        Command("related", "Show questions that may follow.", JobArguments, related, hidden=True),
        Command("answer delete", "Delete an answer.", JobArguments, delete_answer, "in place", hidden=True),
        Command("again", "Draw the same prompt again.", JobArguments, again, "everyone", hidden=True),
        Command(
            "variations", "Draw variations of a picture.", VariationsArguments, variations, "everyone", hidden=True
        ),
        Command("full", "Show one picture in full size.", PictureArguments, full, "everyone", hidden=True),
        Command("details", "Show the prompt, seeds and settings of pictures.", JobArguments, about, hidden=True),
        Command("choose", "Keep one of the candidates.", ChooseArguments, choose, "in place", hidden=True),
        Command("delete", "Delete pictures.", DeleteArguments, delete, "in place", hidden=True),
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

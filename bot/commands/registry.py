"""The command registry, shared by every chat: all commands, in the order in which help lists them."""

from bot.arguments.arguments import NoArguments
from bot.commands.ask import ask, delete_answer, related, search_again, shorter, sources
from bot.commands.command import Command, command
from bot.commands.consents import allow, refuse
from bot.commands.documents import add_documents, list_documents, remove_document
from bot.commands.erase_person import forget_me
from bot.commands.imagine import about, again, delete, full, imagine, variations
from bot.commands.manage import cancel, forget, jobs, share, show, subjects
from bot.commands.photo_source import use
from bot.commands.status import status
from bot.commands.train import add_to_draft, choose, drop_draft, retrain, train, train_draft
from bot.commands.train_together import train_together
from bot.core.context import CommandContext, ReplyStream
from bot.core.messages import Reply, Request
from bot.photos.file_types import NAMES

# What the help of every chat says.
PHOTO_KINDS = f"Photos may be {NAMES}, and have to be still pictures."
PLAIN_WORDS = "Weights like (word:1.3), BREAK and wildcards are not understood yet: they are read as plain words."


@command("help", "Show the help: all commands.")
async def show_help(bot: CommandContext, request: Request, given: NoArguments) -> ReplyStream:
    """Show the help."""
    yield Reply(
        text="Send a few photos of something with /dreambooth train NAME CLASS, then draw it with /imagine. "
        f"{PHOTO_KINDS} {PLAIN_WORDS}",
        facts={f"/{c.usage}": c.summary for c in COMMANDS.values() if not c.hidden},
    )


TYPED = (
    *(imagine, train, subjects, show, share, use, retrain, train_together, forget, forget_me),
    *(ask, add_documents, list_documents, remove_document, cancel, jobs, status, show_help),
)
PRESSED = (  # only by buttons
    *(search_again, shorter, sources, related, delete_answer),
    *(again, variations, full, about, choose, delete),
    *(train_draft, add_to_draft, allow, refuse, drop_draft),
)
COMMANDS: dict[str, Command] = {each.name: each for each in (*TYPED, *PRESSED)}

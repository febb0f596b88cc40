"""What people type to the bot on Slack: which command it is, and with which arguments."""

import re

from bot.arguments.arguments import required
from bot.arguments.parser import parse, split_command
from bot.commands.command import Command
from bot.commands.registry import COMMANDS, PHOTO_KINDS, PLAIN_WORDS
from bot.connectors.slack.markup import plain
from bot.core.messages import Reply
from storage.errors import UserError
from storage.text import shorten

HELP = COMMANDS["help"]
GENERAL = "/darkroom"  # the word for commands that have no group of their own
ALONE = {"ask", "imagine"}  # commands with a word of their own
VISIBLE = {name: command for name, command in COMMANDS.items() if not command.hidden}
SHORT = {name: command for name, command in VISIBLE.items() if not name.startswith("documents ")}
SPOKEN = {name.split()[-1]: command for name, command in SHORT.items()} | VISIBLE  # also `train rex dog`
WORDS = sorted({GENERAL} | {f"/{name.split()[0]}" for name in VISIBLE if " " in name or name in ALONE})


def help_reply() -> Reply:
    """What can be asked, as it is called here, where /help would be anybody's."""
    general = {name for name in VISIBLE if f"/{name.split()[0]}" not in WORDS}
    facts = {
        f"{GENERAL} {command.usage}" if name in general else f"/{command.usage}": command.summary
        for name, command in VISIBLE.items()
    }
    facts["Mention me with “train rex dog” and photos"] = "Learn a subject from the photos of that message."
    facts["Train on these photos (menu of a message)"] = "The same with the photos of any message."
    return Reply(
        text="Send a few photos of something with /dreambooth train, then draw it with /imagine a [rex] dog in Paris: "
        f"[rex] stands for a subject called rex. {PHOTO_KINDS} {PLAIN_WORDS}",
        facts=facts,
    )


def by_command(word: str, text: str) -> tuple[Command, str]:
    """The command of `/dreambooth train rex dog` and what follows it; raises UserError if there is none."""
    line = plain(text) if word == GENERAL else f"{word} {plain(text)}"
    return _command_in(line, VISIBLE)


def by_mention(text: str, bot_user: str) -> tuple[Command, str]:
    """Parse a mention of the bot: `@darkroom train rex dog`."""
    return _command_in(words_of(text, bot_user), SPOKEN)


def words_of(text: str, bot_user: str) -> str:
    """What a mention of the bot says besides."""
    return plain(re.sub(rf"<@{bot_user}(\|[^>]*)?>", " ", text))


def arguments(command: Command, rest: str) -> dict[str, str]:
    """The arguments by name; raises UserError."""
    return parse(rest, command.arguments)


def needs_form(command: Command, rest: str) -> bool:
    """Whether a form should be opened: for photos, which cannot be typed, and where all that is needed is missing."""
    return command.takes_photos or (bool(required(command.arguments)) and not rest)


def _command_in(line: str, commands: dict[str, Command]) -> tuple[Command, str]:
    words = line.split()
    if not words or (len(words) == 1 and words[0] in WORDS and words[0][1:] not in ALONE):
        return HELP, ""
    try:
        name, rest = split_command(line, commands)
    except UserError:
        raise UserError(f"I do not know “{shorten(' '.join(words[:2]), 40)}”. Try {GENERAL} help.") from None
    return commands[name], rest

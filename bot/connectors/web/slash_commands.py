"""What a line typed in the local chat means: `/` begins a command, and any other words are a prompt to draw."""

import re
from difflib import get_close_matches

from bot.arguments.parser import OPTION, split_command
from bot.commands.registry import COMMANDS
from storage.errors import UserError

DRAW = "imagine"
TYPED = {command.name for command in COMMANDS.values() if not command.hidden}
OWN_WORDS = {name for name in TYPED if not name.startswith("documents ")}  # `list` is that of subjects
LAST_WORDS = {name.split()[-1]: name for name in OWN_WORDS if name != DRAW}  # "list" → "dreambooth list"
NO_LETTERS = re.compile(r"[^\w]+")


def parse_line(line: str, photos: int = 0) -> tuple[str, str]:
    """The command that a line asks for, and what follows its name; raises UserError for what may be a slip.

    >>> parse_line("a dog in Paris --count 2"), parse_line("/jobs")
    (('imagine', 'a dog in Paris --count 2'), ('jobs', ''))
    """
    line = line.strip().replace("／", "/", 1) if line.strip().startswith("／") else line.strip()
    line = re.sub(r"^/ *darkroom +(?=\w)", "/", line, flags=re.IGNORECASE)  # as it is written in other chats
    if line.startswith("/"):
        return _command(line)
    if meant := likely_command(line):
        raise UserError(
            f"Did you mean the command /{meant}? Commands begin with a slash, all else is drawn. "
            f"To draw these words, write /{DRAW} before them."
        )
    if photos:
        raise UserError(
            "Words without a slash are drawn, and photos are not needed for that. To learn from the photos: "
            "/dreambooth train NAME CLASS. To draw, remove them."
        )
    if not line:
        raise UserError("Describe a picture, or type / to see the commands.")
    if line.lower().startswith(f"{DRAW} "):  # only the slash is missing, and nothing else can be meant
        return _command(f"/{line}")
    return DRAW, line


def _command(line: str) -> tuple[str, str]:
    try:
        return split_command(line, COMMANDS)
    except UserError:
        words = line.removeprefix("/").split()
        if not words:
            raise UserError("A command follows the slash, like /help.") from None
        near = _near(words)
        advice = f"Did you mean /{near}?" if near else "Try /help. To draw a picture, describe it without a slash."
        name = " ".join(words[: 2 if words[0].lower() == "dreambooth" else 1])[:30]
        raise UserError(f"There is no command /{name}. {advice}") from None


def _near(words: list[str]) -> str:
    """The command that these first words nearly are, or the last word of, if there is one."""
    first = words[0].lower()
    if first in LAST_WORDS:
        return LAST_WORDS[first]
    for count in (2, 1):
        if near := get_close_matches(" ".join(words[:count]).lower(), TYPED, 1, 0.8 if count == 2 else 0.7):
            return near[0]
    near = get_close_matches(first, LAST_WORDS, 1, 0.75)
    return LAST_WORDS[near[0]] if near else ""


def likely_command(line: str) -> str:
    """The command that a line without a slash is likely meant to be, though it is a prompt as well; else nothing.

    That is what begins with `dreambooth` or another sign in the slash's place, what has options of another command
    alone, and one or two words that begin with a command's last word.

    >>> [likely_command(line) for line in ("help", "dreambooth train rex dog", "a train in the snow", "show rex")]
    ['help', 'dreambooth train', '', 'dreambooth show']
    """
    words = NO_LETTERS.sub(" ", line.replace("-", "_")).replace("_", "-").lower().split()
    if not words:
        return ""
    if words[0] == "dreambooth" or line[0] in "\\!.|" or words == [DRAW]:
        return _near(words) or ("help" if words[0] == "dreambooth" else "")
    name = LAST_WORDS.get(words[0], "")
    options = {mark[1] for mark in OPTION.finditer(line)}
    if name and (len(words) == 1 or (len(words) == 2 and name.startswith("dreambooth") and name != "dreambooth list")):
        return name
    return name if name and options - set(COMMANDS[DRAW].arguments.model_fields) else ""

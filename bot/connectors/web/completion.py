"""What could come next in a line that is being typed: commands, options, their values, subjects after `[`."""

import re
from collections.abc import Awaitable, Callable, Iterable, Sequence

from bot.arguments.forms import Field, fields
from bot.arguments.parser import OPTION, split_command
from bot.commands.command import Command
from bot.commands.registry import COMMANDS
from bot.connectors.web.slash_commands import DRAW
from storage.contract.base import Record
from storage.errors import UserError
from storage.text import fold

OPEN_BRACKET = re.compile(r"\[([^\[\]]*)$")
OPEN_OPTION = re.compile(r"(?:^|\s)(--?[a-z]*)$")

Suggest = Callable[[str], Awaitable[Sequence[str]]]  # "subjects" or "jobs" → what there is


class Completion(Record):
    """One way to go on: `text` takes the place of everything from `start` on."""

    start: int
    text: str
    meaning: str = ""


async def complete(line: str, suggest: Suggest) -> list[Completion]:
    """Completions of `line`, which ends at the cursor; best first, none if nothing is known.

    A line without a slash is a prompt, with its options.
    """
    if line.strip() and not line.lstrip().startswith("/"):
        before = f"/{DRAW} "
        completions = await complete(before + line, suggest)
        return [one.model_copy(update={"start": one.start - len(before)}) for one in completions]
    command = _command(line)
    if command is None:
        return _commands(line)
    if bracket := OPEN_BRACKET.search(line):
        names = [(f"[{name}]", "") for name in await suggest("subjects")]
        return _matching(line, bracket.start(), [*names, ("[V]", "The subject given, or your newest")])
    known = {field.name: field for field in fields(command.arguments)}
    if option := OPEN_OPTION.search(line):
        used = {mark[1] for mark in OPTION.finditer(line)}
        # Required arguments are typed without their names, so these are not offered.
        free = [field for field in known.values() if (field.many or field.name not in used) and not field.required]
        return _matching(line, option.start(1), [(f"--{field.name} ", field.meaning) for field in free])
    return await _values(line, known, suggest)


def _command(line: str) -> Command | None:
    """The command that is typed to its end, the space after it included."""
    try:
        name, rest = split_command(line, COMMANDS)
    except UserError:
        return None
    return COMMANDS[name] if rest or line[-1:].isspace() else None


def _commands(line: str) -> list[Completion]:
    typed = " ".join(line.lstrip().removeprefix("/").lower().split())
    shown = [c for c in COMMANDS.values() if not c.hidden and c.name.startswith(typed)]
    ends = {c.name: " " if c.arguments.model_fields else "" for c in shown}
    whole = [Completion(start=0, text=f"/{c.name}{ends[c.name]}", meaning=c.summary) for c in shown]
    return [c for c in whole if c.text.strip() != line.strip()]


async def _values(line: str, known: dict[str, Field], suggest: Suggest) -> list[Completion]:
    """Values of the option that stands last, or of the argument whose turn it is, where they come from a list."""
    marks = [mark for mark in OPTION.finditer(line) if mark[1] in known]
    field = known[marks[-1][1]] if marks else _in_turn(line, known)
    if field is None:
        return []
    start = len(line) - len(re.split(r"[\s=]", line)[-1])
    if marks and line[marks[-1].end() : start].strip(" ="):
        return []
    values = field.choices or (await suggest(field.suggest) if field.suggest else ())
    return _matching(line, start, [(value, "") for value in values])


def _in_turn(line: str, known: dict[str, Field]) -> Field | None:
    """The argument that the word at the end of a line is, if it is typed without its name."""
    nameless = [field for field in known.values() if field.required or field.bare]
    words = split_command(line, COMMANDS)[1].split()
    place = len(words) - (not line[-1:].isspace())
    return nameless[place] if place < len(nameless) else None


def _matching(line: str, start: int, options: Iterable[tuple[str, str]]) -> list[Completion]:
    typed = fold(line[start:])
    fitting = [(text, meaning) for text, meaning in options if fold(text).startswith(typed)]
    if any(fold(text) == typed for text, _ in fitting):
        return []  # typed to its end: Enter is to send, not to make it something longer
    return [Completion(start=start, text=text, meaning=meaning) for text, meaning in fitting]

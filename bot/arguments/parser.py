"""Commands as people type them: `/imagine a [rex] dog in Paris --count 4`, `/dreambooth train rex dog`.

Options come last; each reaches to the next one or to the end, so nothing needs quotes.
"""

import re
from collections.abc import Iterable, Mapping

from bot.arguments.arguments import Arguments, bare, many, required
from bot.arguments.validation import problems
from storage.errors import UserError

OPTION = re.compile(r"(?:^|\s)(?:--|—|–)([a-z]+)(?=\s|=|$)")  # phones make a dash of two hyphens


def split_command(line: str, names: Iterable[str]) -> tuple[str, str]:
    """Split a typed line into the name of a command and the rest; raises UserError if it names none."""
    words = line.strip().removeprefix("/").split()
    # The longest first, in case one name begins another.
    for name in sorted(names, key=len, reverse=True):
        parts = name.split()
        if [w.lower() for w in words[: len(parts)]] == parts:
            rest = line.strip().removeprefix("/")
            for part in parts:
                rest = rest.lstrip()[len(part) :]
            return name, rest.strip()
    raise UserError(f"There is no command {_first(words)}. Try /help.")


def _first(words: list[str]) -> str:
    return f"/{words[0][:30]}" if words else "here"


def parse(rest: str, arguments: type[Arguments]) -> dict[str, str]:
    """Turn what follows a command's name into text by argument name, without checking it.

    Words before the first option fill the required arguments in their order, the last taking all that is left; or,
    where others may be typed without their names, one word each.
    """
    options = {field.alias or name for name, field in arguments.model_fields.items()}
    # Only known names are options: prompts may contain two hyphens.
    marks = [m for m in OPTION.finditer(rest) if m[1] in options]
    ends = [*(m.start() for m in marks[1:]), len(rest)]
    values: dict[str, str] = {}
    for mark, end in zip(marks, ends, strict=False):
        before = f"{values[mark[1]]} " if mark[1] in values and mark[1] in many(arguments) else ""
        values[mark[1]] = before + rest[mark.end() : end].strip().removeprefix("=").strip()
    head = rest[: marks[0].start()] if marks else rest
    first = [name for name in required(arguments) if name not in values]
    others = [name for name in bare(arguments) if name not in values]
    words = head.split() if others or not first else head.split(maxsplit=len(first) - 1)
    values |= dict(zip(first, words, strict=False))
    return values | _bare(words[len(first) :], others, arguments)


def _bare(words: list[str], names: list[str], arguments: type[Arguments]) -> dict[str, str]:
    """Assign each bare word to the first argument that takes it, else to the last, whose validation then fails."""
    given: dict[str, str] = {}
    for word in words:
        free = [name for name in names if name not in given]
        if not free:
            raise UserError(f"I do not know what to do with “{word[:40]}”.")
        given[next((name for name in free if name not in problems(arguments, {name: word})), free[-1])] = word
    return given


def typed(name: str, values: Mapping[str, str], arguments: type[Arguments]) -> str:
    """Write a command as a person would type it, which `parse` takes apart again.

    >>> from bot.arguments.arguments import ImagineArguments
    >>> typed("imagine", {"count": "2", "prompt": "a dog"}, ImagineArguments)
    '/imagine a dog --count 2'
    """
    first = [values[key] for key in required(arguments) if key in values]
    options = [f"--{key} {value}" for key, value in values.items() if key not in required(arguments)]
    return " ".join([f"/{name}", *first, *options])

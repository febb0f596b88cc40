"""Options of the terminal's commands, taken from the arguments that the commands declare."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from bot.arguments.arguments import Arguments
from bot.arguments.forms import Field, fields

SHORT = {"count": "-n"}
PICTURES, QUESTIONS, LISTS = "Photos in, pictures out", "Questions", "Lists"  # under which help shows commands
OUT = Path("darkroom-pictures")

Given = dict[str, str | None]
Out = Annotated[Path, typer.Option(help="Folder for the pictures.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object, last, on standard output.")]


def options_of(arguments: type[Arguments], positional: str = "") -> Callable[[Callable[..., int]], Callable[..., int]]:
    """Give a command an option for every field of `arguments`; it gets them as one dict of text, `given`.

    Values stay text: they are checked where every chat's are, and refused in the same sentences. The field named
    `positional` is taken without an option's name.
    """
    declared = {field.name: field for field in fields(arguments)}

    def decorate(command: Callable[..., int]) -> Callable[..., int]:
        signature = inspect.signature(command)
        own = [p.replace(kind=p.KEYWORD_ONLY) for p in signature.parameters.values() if p.name != "given"]

        def with_options(**values: Any) -> int:
            given = {name: _as_text(values.pop(_python_name(name))) for name in declared}
            return command(given=given, **values)

        parameters = [*(_parameter(field, field.name == positional) for field in declared.values()), *own]
        with_options.__name__, with_options.__doc__ = command.__name__, command.__doc__
        with_options.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        with_options.__annotations__ = {p.name: p.annotation for p in parameters}
        return with_options

    return decorate


def _as_text(value: str | list[str] | None) -> str | None:
    """What was given several times as one text."""
    return " ".join(value) or None if isinstance(value, list) else value


def _python_name(name: str) -> str:
    return f"{name}_"  # `class` is a word of Python's own


def _parameter(field: Field, positional: bool) -> inspect.Parameter:
    about = f"{field.meaning} {limits(field)}".strip()
    kind: Any
    if positional:
        kind = typer.Argument(help=about, metavar=field.name.upper(), show_default=False)
    else:
        names = [f"--{field.name}", *filter(None, [SHORT.get(field.name)])]
        metavar = {"whole": "N", "number": "X", "choice": "CHOICE"}.get(field.kind, "TEXT")
        kind = typer.Option(*names, help=about, metavar=metavar, show_default=False)
    return inspect.Parameter(
        _python_name(field.name),
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[list[str] | None if field.many else str | None, kind],
    )


def limits(field: Field) -> str:
    """What may be given for a field, in brackets: its limits and its default."""
    parts = [", ".join(field.choices)] if field.choices else []
    if field.minimum is not None and field.maximum is not None:
        parts.append(f"{field.minimum:g} to {field.maximum:,.0f}")
    if field.kind == "text" and field.longest:
        parts.append(f"at most {field.longest:,} characters")
    if field.default:
        parts.append(f"default {field.default}")
    if field.required:
        parts.append("required")
    return f"({'; '.join(parts)})" if parts else ""

"""What is wrong with arguments, in a sentence each: for whoever typed them."""

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from bot.arguments.arguments import Arguments
from storage.errors import UserError
from storage.nouns import article

A = TypeVar("A", bound=Arguments)

SENTENCES = {  # by pydantic's name of the problem
    "missing": "Please give {a}{name}: {meaning}",
    "extra_forbidden": "There is no option {name} here.",
    "greater_than_equal": "{Name} must be at least {ge}, not {given}.",
    "less_than_equal": "{Name} must be at most {le}, not {given}.",
    "greater_than": "{Name} must be more than {gt}, not {given}.",
    "bool_parsing": "{Name} must be true or false, not {given}.",
    "int_parsing": "{Name} must be a whole number, not {given}.",
    "int_parsing_size": "{Name} must be a whole number, not {given}.",
    "int_from_float": "{Name} must be a whole number, not {given}.",
    "float_parsing": "{Name} must be a number, not {given}.",
    "literal_error": "{Name} must be {expected}, not {given}.",
    "string_too_long": "{Name} is too long: at most {max_length} characters.",
    "string_pattern_mismatch": "{given} is not a {name}. {meaning}",
}


def check(arguments: type[A], values: Mapping[str, Any]) -> A:
    """Build `arguments` from text by name; raises UserError with one sentence per problem."""
    if wrong := problems(arguments, values):
        raise UserError(" ".join(wrong.values()))
    return arguments.model_validate({k: v for k, v in values.items() if v is not None})


def problems(arguments: type[BaseModel], values: Mapping[str, Any]) -> dict[str, str]:
    """One sentence per argument, or whatever else is declared, that is wrong, by its name."""
    try:
        arguments.model_validate({k: v for k, v in values.items() if v is not None})
    except ValidationError as error:
        return {str(problem["loc"][0]): _sentence(arguments, problem) for problem in error.errors()}
    return {}


def _sentence(arguments: type[BaseModel], problem: Any) -> str:
    context = {name: _shown(value) for name, value in problem.get("ctx", {}).items()}
    if problem["type"] == "value_error":
        return f"{_capital(context['error'])}."
    name, given = str(problem["loc"][0]), _short(problem["input"])
    sentence = SENTENCES.get(problem["type"], "{Name}: {msg}.")
    known = "" if problem["type"] == "extra_forbidden" else meaning(arguments, name)
    if problem["type"] == "missing":  # it follows a colon
        known = known.removeprefix(f"{_capital(name)}: ")
        known = known[:1].lower() + known[1:]
    words = {
        "a": "" if name.endswith("s") and not name.endswith("ss") else f"{article(name)} ",
        "name": name,
        "Name": _capital(name),
        "given": given,
        "meaning": known,
        "msg": problem["msg"].lower(),
    }
    return sentence.format(**words, **context)


def _shown(limit: Any) -> str:
    return f"{limit:,.0f}" if isinstance(limit, float | int) and limit == int(limit) else str(limit)


def meaning(arguments: type[BaseModel], name: str) -> str:
    """The description of an argument by its outer name."""
    field = next(f for key, f in arguments.model_fields.items() if (f.alias or key) == name)
    return field.description or ""


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _short(given: Any) -> str:
    text = str(given)
    return text if len(text) <= 30 else text[:27] + "…"

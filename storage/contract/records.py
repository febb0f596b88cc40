"""Records in the store: objects of JSON, which may be damaged like any other, or written by a newer version."""

import re
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails, from_json

from storage.contract.base import Stored
from storage.contract.fields import WORD
from storage.errors import Damaged, Newer

R = TypeVar("R", bound=BaseModel)
S = TypeVar("S", bound=Stored)

SPACE = re.compile(rb'"space"\s*:\s*"([^"\\]{1,200})"')
OWNER = re.compile(rb'"owner"\s*:\s*"([^"\\]{1,200})"')
STRICTEST = {"shared": "private"}  # values of fields that are not understood, where the usual one would let people in


def parsed(kind: type[R], data: bytes, key: str) -> R:
    """The record in the object `key`, to be changed and written back; raises Damaged, which names it, or Newer."""
    try:
        return kind.model_validate_json(data)
    except ValidationError as error:
        if issubclass(kind, Stored) and version_of(data) > kind.known_version():
            raise Newer(f"The record {key!r} was written by a newer version of Darkroom.") from error
        raise _damaged(error, key) from error


def parsed_in_part(kind: type[S], data: bytes, key: str, stand_ins: Mapping[str, str] = STRICTEST) -> S:
    """The record in the object `key`, to be read only: of a newer one, what can be understood.

    Raises Damaged, and Newer where the stand-ins do not make up for what is not understood.
    """
    try:
        return parsed(kind, data, key)
    except Newer as error:
        try:
            return kind.model_validate(understood(data, kind, stand_ins))
        except ValidationError:
            raise error from None


def _damaged(error: ValidationError, key: str) -> Damaged:
    return Damaged(f"The record {key!r} cannot be read: {error.errors()[0]['msg']}.")


def space_of(record: bytes) -> str:
    """The space that a damaged record still names; empty if it names none."""
    return _first(SPACE, record)


def owner_of(record: bytes) -> str:
    """The owner that a damaged record still names; empty if it names none."""
    return _first(OWNER, record)


def _first(pattern: re.Pattern[bytes], record: bytes) -> str:
    match = pattern.search(record)
    return match[1].decode(errors="replace") if match else ""


def version_of(data: bytes) -> int:
    """The version that a record of JSON says it is of; 1 where it says none, or cannot be read."""
    try:
        version = from_json(data).get("schema_version", 1)
    except (ValueError, AttributeError):
        return 1
    return version if isinstance(version, int) else 1


def understood(data: bytes, kind: type[BaseModel], stand_ins: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of a record of JSON, without those that do not fit `kind`: its defaults apply, or the stand-ins."""
    try:
        kind.model_validate_json(data)
        misfits = set[str]()
    except ValidationError as error:
        misfits = {str(each["loc"][0]) for each in error.errors() if each["loc"]}
    fields = {name: value for name, value in from_json(data).items() if name not in misfits}
    return fields | {name: value for name, value in stand_ins.items() if name in misfits}


def is_newer_value(error: ErrorDetails) -> bool:
    """Whether all that is wrong is a word that a newer version may know: a scheduler, say."""
    context = error.get("ctx", {})
    if error["type"] != "literal_error":
        return False
    word, known = error["input"], context["expected"]
    return isinstance(word, str) and is_newer_word(word, re.findall(r"'([^']*)'", known))


def is_newer_word(word: str, known: Iterable[str]) -> bool:
    """Whether a word that is none of the known ones may be a newer version's: a kind of job, a scheduler.

    A word that is a known one with a character changed is taken for damage: nobody chooses names so alike.
    """
    return WORD.fullmatch(word) is not None and not is_garbled(word, known)


def is_garbled(word: str, known: Iterable[str]) -> bool:
    """Whether a word is one of the known ones with one character changed."""
    alike = (each for each in known if len(each) == len(word))
    return any(sum(a != b for a, b in zip(each, word, strict=True)) == 1 for each in alike)

"""Records in the store: objects of JSON, which may be damaged like any other, or written by a newer version."""

from collections.abc import Mapping
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from storage.contract.base import Stored
from storage.contract.schema_versions import understood, version_of
from storage.errors import Damaged, Newer

R = TypeVar("R", bound=BaseModel)
S = TypeVar("S", bound=Stored)

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

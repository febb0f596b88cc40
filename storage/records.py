"""Records in the store: objects of JSON, which may be damaged like any other."""

from typing import TypeVar

from pydantic import BaseModel, ValidationError

from storage.errors import Damaged

R = TypeVar("R", bound=BaseModel)


def parsed(kind: type[R], data: bytes, key: str) -> R:
    """The record in the object `key`; raises Damaged, which names it."""
    try:
        return kind.model_validate_json(data)
    except ValidationError as error:
        raise Damaged(f"The record {key!r} cannot be read: {error.errors()[0]['msg']}.") from error

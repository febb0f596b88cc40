"""Types of fields in stored records: what is used as an object name, a hash or an id is checked when a record is read.

Whoever builds a path from such a field relies on it: a tampered record must not name a file outside.
"""

import re
from typing import Annotated

from pydantic import AfterValidator, GetPydanticSchema, StringConstraints
from pydantic_core import core_schema

from storage.ids import ID
from storage.objects.store import NAME

NAME_MAX = 1024  # characters of an object name, as on S3
TEXT_MAX = 20_000  # characters of what people typed; Discord, Slack and forms take fewer
PIXELS_MAX = 2**20  # of one side of a picture
MANY = 10_000  # of anything in one record
WORD = re.compile(r"[a-z][a-z0-9 +_.-]{0,39}")


def _object_name(key: str) -> str:
    if not NAME.fullmatch(key):
        raise ValueError("no proper object name")
    return key


def _object_name_or_none(key: str) -> str:
    return _object_name(key) if key else key


ObjectName = Annotated[str, StringConstraints(max_length=NAME_MAX), AfterValidator(_object_name)]
ObjectNameOrEmpty = Annotated[str, StringConstraints(max_length=NAME_MAX), AfterValidator(_object_name_or_none)]
Id = Annotated[str, StringConstraints(pattern=rf"^{ID.pattern}$")]
Part = Annotated[
    str, StringConstraints(pattern=r"^[^/\\\x00-\x1f.][^/\\\x00-\x1f]{0,127}$")
]  # of a path: a hash, an id
PartOrEmpty = Annotated[str, StringConstraints(pattern=r"^([^/\\\x00-\x1f.][^/\\\x00-\x1f]{0,127})?$")]
Text = Annotated[str, StringConstraints(max_length=TEXT_MAX)]

NewerValues = GetPydanticSchema(lambda _source, _handler: core_schema.str_schema(pattern=rf"^{WORD.pattern}$"))
"""Makes a Literal open when read: a newer version may have written another value. Readers say what they do with it."""

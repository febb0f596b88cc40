"""Files as people attached them, before anything was looked at."""

from typing import Annotated

from pydantic import AfterValidator, Field

from storage.contract.base import Record
from storage.text import one_line


class Upload(Record):
    """A file that a person attached, exactly as it came; or why it did not, in `trouble`."""

    name: Annotated[str, AfterValidator(one_line)]
    data: bytes = Field(b"", repr=False)
    trouble: str = ""  # follows the name in a sentence: "is gone, its link has expired"
    caption: str = ""  # what the person says is in it: the chat's alt text, or a text file beside it

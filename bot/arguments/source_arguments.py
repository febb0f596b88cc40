"""The arguments of the command that says what a subject is drawn from."""

from pydantic import Field

from bot.arguments.arguments import BRIEF, SubjectArguments
from storage.contract.photo_source import DrawnFrom


class SourceArguments(SubjectArguments):
    """Arguments of `/dreambooth use`."""

    source: DrawnFrom = Field(
        description="What it is drawn from: photos alone, in base models that can, or its training.",
        json_schema_extra=BRIEF,
    )

"""Arguments of `/ask` and of the buttons under an answer, and of the commands about documents."""

from typing import Annotated

from pydantic import AfterValidator, Field, WithJsonSchema

from bot.arguments.arguments import BRIEF, MANY, Arguments, With
from storage.ask.documents import NAME_MAX
from storage.contract.ask import QUESTION_MAX, AskMode, ContextSize, Recency
from storage.text import one_line

OPTION_MAX = 2000  # characters of a list of domains
LAST = "last"


def _checked_question(question: str) -> str:
    question = one_line(question)
    if not question:
        raise ValueError("ask something, as in “what changed in Python 3.14?”")
    if len(question) > QUESTION_MAX:
        raise ValueError(f"a question has at most {QUESTION_MAX:,} characters, this one has {len(question):,}")
    return question


QuestionText = Annotated[
    str,
    AfterValidator(_checked_question),
    WithJsonSchema({"type": "string", "minLength": 1, "maxLength": QUESTION_MAX}),
]


class AskArguments(Arguments):
    """Arguments of `/ask`. What is wrong with domains, days and languages is found by `storage.ask.filter_input`."""

    question: QuestionText = Field(description="What to find out; the answer cites its sources.")
    domains: str = Field(
        "",
        max_length=OPTION_MAX,
        description="Only these sites, or, with a minus, not these: python.org -pinterest.com; at most 20.",
        json_schema_extra=BRIEF | MANY,
    )
    recency: Recency | None = Field(None, description="Only pages of the last hour, day, week, month or year.")
    after: str = Field("", max_length=20, description="Only pages published on this day or later, like 2026-05-31.")
    before: str = Field("", max_length=20, description="Only pages published before this day.")
    mode: AskMode | None = Field(
        None,
        description="Where to look: web, academic (papers) or documents (those added here); default: web.",
        json_schema_extra=BRIEF,
    )
    size: ContextSize | None = Field(None, description="How much is read for the answer; default: medium.")
    language: str = Field(
        "",
        max_length=60,
        description="Language of sources and answer, like en or de; default: any.",
    )
    follow: str = Field(
        "",
        pattern=r"^([0-9a-f]{6,20}|last)?$",
        description="The job of an earlier question that this one follows up on; last: your newest.",
    )


class AddDocumentsArguments(Arguments):
    """Arguments of `/documents add`; the documents come as files."""

    audience: With | None = Field(
        None,
        alias="with",
        description="Who is answered from them: private, channel or space; default: all who can read this channel.",
        json_schema_extra=BRIEF,
    )


class DocumentArguments(Arguments):
    """Arguments of commands about one document."""

    name: str = Field(max_length=NAME_MAX, description="The document's name, which is that of its file.")

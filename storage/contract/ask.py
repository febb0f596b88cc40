"""Records of /ask: which sources a question admits, and the sources that were read for it."""

from datetime import date
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from storage.contract.base import Record
from storage.contract.fields import NewerValues

AskMode = Literal["web", "academic", "documents"]
Recency = Literal["hour", "day", "week", "month", "year"]
ContextSize = Literal["low", "medium", "high"]  # how much is read before the answer: Sonar's search_context_size
SourceKind = Literal["web", "document"]

QUESTION_MAX = 4000  # characters of a question
DOMAINS_MAX = 20  # domain rules of one question, as with Sonar
LANGUAGES_MAX = 10
URL_MAX = 2048  # characters

DomainText = Annotated[str, StringConstraints(min_length=1, max_length=URL_MAX)]
LanguageCode = Annotated[str, StringConstraints(pattern=r"^[a-z]{2,3}$")]  # ISO 639


class AskFilters(Record):
    """Which sources a question admits. `storage.ask.filter_input` reads and checks what people type."""

    mode: AskMode = "web"
    allowed_domains: tuple[DomainText, ...] = Field((), max_length=DOMAINS_MAX)  # host, .suffix or host/path
    denied_domains: tuple[DomainText, ...] = Field((), max_length=DOMAINS_MAX)
    recency: Recency | None = None  # published within the last …
    after: date | None = None  # published on this day or later
    before: date | None = None  # published before this day
    languages: tuple[LanguageCode, ...] = Field((), max_length=LANGUAGES_MAX)
    size: ContextSize = "medium"


class Source(Record):
    """A page or a document that was read for an answer; `id` is the same whenever it is found again."""

    id: str = Field(min_length=1, max_length=64)
    url: str = Field(max_length=URL_MAX)
    title: str = ""
    site: str = ""  # host, or the name of the collection of documents
    published: date | None = None
    updated: date | None = None
    kind: Annotated[SourceKind, NewerValues] = "web"
    reason: str = ""  # why it was ranked where it is, for people
    snippet: str = ""  # what the search engine, or the first passage, says of it
    snippet_only: bool = False  # the page itself could not be had
    stale: bool = False  # older than other sources on the same, or says itself that it is out of date
    copies: tuple[str, ...] = Field((), max_length=100)  # URLs of pages with the same text, which are not sources


class TextSpan(Record):
    """A piece of an answer's text: from `start` to before `end`, in characters."""

    start: int = Field(ge=0)
    end: int = Field(ge=0)


class Citation(TextSpan):
    """A marker `[number]` in an answer's text, and the source that it stands for."""

    source_id: str
    number: int = Field(ge=1)

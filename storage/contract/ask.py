"""Records of /ask: which sources a question admits, and the sources that were read for it."""

from datetime import date
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from storage.contract.base import Record, Stored
from storage.contract.fields import MANY, NewerValues

AskMode = Literal["web", "academic", "documents"]
Recency = Literal["hour", "day", "week", "month", "year"]
ContextSize = Literal["low", "medium", "high"]  # how much is read before the answer: Sonar's search_context_size
SourceKind = Literal["web", "document"]

QUESTION_MAX = 4000  # characters of a question
DOMAINS_MAX = 20  # domain rules of one question, as with Sonar
LANGUAGES_MAX = 10
OWN_DOCS = "Darkroom's docs"  # the site of pages of Darkroom's own docs
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
    updated_after: date | None = None  # last changed on this day or later; one that says nothing of it: published
    updated_before: date | None = None
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


class Usage(Record):
    """What an answer took of language models. `cost` is in the currency of the prices that are set; None: none is."""

    model: str = ""  # which wrote it; empty: no model did
    requests: int = Field(0, ge=0)
    prompt_tokens: int = Field(0, ge=0)
    completion_tokens: int = Field(0, ge=0)
    is_estimated: bool = False  # an endpoint did not count its tokens, so they were estimated
    cost: float | None = Field(None, ge=0)


class Answer(Stored):
    """An answer with its sources. `numbers` are those of the whole thread, by id of the source."""

    question: str = ""
    text: str
    citations: tuple[Citation, ...] = Field((), max_length=MANY)
    unsupported: tuple[TextSpan, ...] = Field((), max_length=MANY)  # whose numbers or quotations no source has
    sources: tuple[Source, ...] = Field((), max_length=MANY)  # all that were read; those that are cited first
    numbers: dict[str, int] = Field(default_factory=dict, max_length=MANY)
    is_found: bool = True  # False: nothing that answers the question was found
    is_extractive: bool = False  # written from quotations, without a model
    notices: tuple[str, ...] = Field((), max_length=MANY)  # sentences about the search and the model
    related_questions: tuple[str, ...] = Field((), max_length=MANY)
    usage: Usage = Usage()

    @property
    def cited_sources(self) -> dict[int, Source]:
        """The sources that the text cites, by their numbers in it."""
        sources = {source.id: source for source in self.sources}
        cited = {each.number: sources[each.source_id] for each in self.citations if each.source_id in sources}
        return dict(sorted(cited.items()))


class Turn(Record):
    """One question of a thread, and its answer."""

    question: Annotated[str, StringConstraints(max_length=QUESTION_MAX)]
    answer: Answer

"""What retrieval takes and gives: a query, and the sources and passages that were found for it."""

from dataclasses import dataclass, field

from storage.contract.ask import AskFilters, Source


@dataclass(frozen=True)
class Query:
    """A question that can be understood by itself, and where to look."""

    question: str
    filters: AskFilters = field(default_factory=AskFilters)
    space: str = ""  # whose documents are searched
    document_ids: tuple[str, ...] | None = None  # those that the policy lets the person read; None: all of the space
    known_sources: tuple[Source, ...] = ()  # of earlier answers in this thread, the newest first: read again, too


@dataclass(frozen=True)
class Passage:
    """A few sentences of a source, as they stand there."""

    source_id: str
    text: str
    score: float  # relevance to the question, 0…1; comparable within one retrieval only
    position: int  # of its first character in the source's text


@dataclass(frozen=True)
class Retrieval:
    """Passages with the best first, the sources that they are from, and what the person should know about the search.

    Sources are in the order in which their best passages come. A notice is a whole sentence.
    """

    sources: tuple[Source, ...] = ()
    passages: tuple[Passage, ...] = ()
    notices: tuple[str, ...] = ()

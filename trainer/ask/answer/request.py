"""What an answer is asked for with, and the events in which it comes."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from storage.contract.ask import Answer, Source, Turn
from trainer.ask.retrieval import Query, Retrieval

Retrieve = Callable[[Query, Callable[[Source], None]], Awaitable[Retrieval]]
"""Finds passages for a query; calls back for each source as soon as it is going to be read."""


@dataclass(frozen=True)
class AnswerRequest:
    """A question as the person put it, with where to look; `history` is the thread before it, the oldest first."""

    query: Query
    history: tuple[Turn, ...] = ()
    language: str = ""  # of the answer: a name or a code; empty: that of the question
    is_short: bool = False  # two sentences at most
    wants_related: bool = False  # three follow-up questions with the answer


@dataclass(frozen=True)
class SourceFound:
    """A source is being read."""

    source: Source


@dataclass(frozen=True)
class TextDelta:
    """The next piece of the answer's text, which is safe to show, with the sources of its markers by their numbers."""

    text: str
    cited: Mapping[int, Source] = field(default_factory=dict)


@dataclass(frozen=True)
class TextRestarted:
    """The text that came is void: the same answer begins anew. Comes once at most, but for quotations instead."""


@dataclass(frozen=True)
class AnswerFinished:
    """The whole answer; always the last event."""

    answer: Answer


AnswerEvent = SourceFound | TextDelta | TextRestarted | AnswerFinished

"""Follow-up questions: what a question means that refers to the thread before it, as a search understands it."""

import re
from collections.abc import Sequence
from dataclasses import replace

from storage.contract.ask import QUESTION_MAX, Turn
from trainer.ask.answer.preamble import without_preamble
from trainer.ask.answer.request import AnswerRequest
from trainer.ask.citations.words import words_of
from trainer.ask.retrieval import Query

REFERS = re.compile(
    r"\b(?:it|its|they|them|their|theirs|that|this|those|these|he|him|his|she|her|hers|there|then|one|ones|same|else|"
    r"other|others|another|more|former|latter|both|er|sie|es|das|dort|il|elle)\b",
    re.IGNORECASE,
)
INSTEAD = re.compile(
    r"^\s*(?:and|but|so|or)?\s*(?:what about|how about|and (?:for|in|of)|and|or|und|et)\s+(?P<topic>[^?]+)\??\s*$",
    re.IGNORECASE,
)
NAME = re.compile(r"(?<!^)(?<![.?!]\s)\b[A-ZÀ-Þ][\w'-]*(?:\s+[A-ZÀ-Þ][\w'-]*)*")
FEW_WORDS = 2  # that carry meaning: a question with fewer cannot be understood by itself


def standalone_question(question: str, history: Sequence[Turn]) -> str:
    """The question with what it refers to in the thread; as it is if it can be understood by itself.

    "And Berlin?" after "How many people live in Paris?" asks how many live in Berlin.
    """
    if not history or not _refers_back(question):
        return question
    before = _root_question(history)
    instead = INSTEAD.match(question)
    if instead and NAME.search(f"x {instead['topic']}"):
        names = list(NAME.finditer(before))
        if names:
            last = names[-1]
            return (before[: last.start()] + instead["topic"].strip() + before[last.end() :])[:QUESTION_MAX]
    return f"{before} {question}"[-QUESTION_MAX:]


def query_of(request: AnswerRequest) -> Query:
    """The query with the question made standalone, and the sources that the thread has cited."""
    question = without_preamble(standalone_question(request.query.question, request.history))
    known = {source.id: source for source in request.query.known_sources}
    for turn in reversed(request.history):
        known |= {s.id: s for s in turn.answer.cited_sources.values() if s.id not in known}
    return replace(request.query, question=question, known_sources=tuple(known.values()))


def numbers_of(history: Sequence[Turn]) -> dict[str, int]:
    """The numbers of sources that the thread has used so far; they never change."""
    numbers: dict[str, int] = {}
    for turn in history:
        numbers = {**turn.answer.numbers, **numbers}
    return numbers


def _refers_back(question: str) -> bool:
    return bool(REFERS.search(question) or INSTEAD.match(question)) or len(words_of(question)) < FEW_WORDS


def _root_question(history: Sequence[Turn]) -> str:
    """The last question of the thread, with what it refers to itself."""
    question = history[0].question
    for n, turn in enumerate(history[1:], 1):
        question = (
            standalone_question(turn.question, history[n - 1 : n]) if _refers_back(turn.question) else turn.question
        )
    return question

"""Stale sources: pages that say so themselves, and pages that newer ones on the same question disagree with."""

import re
from collections.abc import Mapping, Sequence
from datetime import date, timedelta

from trainer.ask.ranking.passages import split_sentences
from trainer.ask.ranking.source_text import SourceText
from trainer.ask.ranking.terms import terms

OLDER = timedelta(days=365)  # than a source that says something else
SAYS_STALE = re.compile(
    r"\bthis (page|article|document|documentation|guide|text|version|information|post|notice) "
    r"(is|has been|was|describes)( now)? (an? )?(out ?dated|out of date|archived|superseded|obsolete|deprecated|"
    r"no longer (maintained|updated|current|valid|accurate)|replaced|old(er)? version)|"
    r"\b(archived|outdated|obsolete) (page|article|version|copy|document)\b|"
    r"\bdiese (seite|version) ist veraltet\b",
    re.IGNORECASE,
)
EDGE = 1500  # characters at the beginning and the end of a text, where such notices stand
NUMBER = re.compile(r"\d[\d.,]*\d|\d")
YEAR = re.compile(r"(19|20)\d\d")
NAME = re.compile(r"\b[A-Z][\w’'-]+")


def says_stale(text: str) -> bool:
    """Whether a page says itself that it is out of date."""
    return bool(SAYS_STALE.search(text[:EDGE]) or SAYS_STALE.search(text[-EDGE:]))


def last_changed(text: SourceText) -> date | None:
    """The day of a source's last change, as far as it is known."""
    return max(filter(None, (text.source.published, text.source.updated)), default=None)


def mark_stale(question: str, texts: Sequence[SourceText], best: Mapping[str, str]) -> list[SourceText]:
    """The texts, with stale ones marked; `best` has the best passage of each source that is about the question.

    A source is stale if others are a year newer, and none of them gives the same figures or names in its answer.
    """
    answers = {source: answer_tokens(question, passage) for source, passage in best.items()}
    days = {text.source.id: last_changed(text) for text in texts}
    return [
        text.with_source(stale=True)
        if says_stale(text.text) or _is_contradicted(text.source.id, answers, days)
        else text
        for text in texts
    ]


def answer_tokens(question: str, passage: str) -> frozenset[str]:
    """Figures, or else names, in the sentence that fits the question best: what an answer would be made of.

    A sentence without any may be the wrong one; then it is those of the whole passage.
    """
    asked = set(terms(question))
    sentence = max(split_sentences(passage), key=lambda each: len(asked & set(terms(each))), default="")
    return _figures(sentence, asked) or _names(sentence, asked) or _figures(passage, asked)


def _figures(text: str, asked: set[str]) -> frozenset[str]:
    """Numbers of a text but those of the question; years only where there is nothing else."""
    numbers = frozenset(number.strip(".,") for number in NUMBER.findall(text)) - asked
    return frozenset(number for number in numbers if not YEAR.fullmatch(number)) or numbers


def _names(sentence: str, asked: set[str]) -> frozenset[str]:
    """Words with a capital letter, but for the first one."""
    return frozenset(name for name in NAME.findall(sentence[1:]) if not asked & set(terms(name)))


def _is_contradicted(source: str, answers: Mapping[str, frozenset[str]], days: Mapping[str, date | None]) -> bool:
    own, day = answers.get(source), days.get(source)
    if not own or day is None:
        return False
    newer = [
        theirs
        for other, theirs in answers.items()
        if theirs and (their_day := days.get(other)) and their_day - day >= OLDER
    ]
    return bool(newer) and not any(own & theirs for theirs in newer)

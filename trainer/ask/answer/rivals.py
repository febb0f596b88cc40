"""Whether a sentence that answers in other words is about the same fact as the one that answers best.

Nobody lists all words for one fact. So what counts together is: what the sentence has of the question, how near it is
to the other sentence in meaning, whether its value is of the same kind, and whether it is about as much.
"""

import re
from collections.abc import Sequence
from datetime import date

import numpy as np

from trainer.ask.answer.question import Question
from trainer.ask.answer.sentences import Sentence
from trainer.ask.answer.values import Value, size_ratio
from trainer.ask.answer.word_likeness import are_near
from trainer.ask.citations.words import words_and_stems
from trainer.ask.ranking.vectors import static_embedder

LEAST = 1.0  # of what speaks for the same fact
SAME_UNIT, SAME_COUNTED, SAME_KIND = 0.3, 0.3, 0.2
CLOSE = ((1.3, 0.35), (2.0, 0.25), (4.0, 0.1))  # ratio of two numbers up to which it counts how much
FAR_APART = -0.2
CLOSE_DAYS = ((70, 0.35), (800, 0.25), (6000, 0.15))
NO_RELATION = 0.1  # cosine of two sentences that have nothing in common
YEAR = re.compile(r"(?<![\w.,])(?:1[5-9]|20)\d\d(?![\w%]|[.,]\d)")


def evidence(question: Question, one: Sentence, value: Value, other: Sentence, rival: Value) -> float:
    """How much speaks for two values to be of the same fact; from `LEAST` on they are."""
    return other.own + _likeness(question, one, other) + _same_kind(question, value, rival) + _closeness(value, rival)


def are_of_different_years(one: Sentence, other: Sentence) -> bool:
    """Whether two sentences name years, and no year is in both: then what they say may have changed."""
    ours, theirs = (set(YEAR.findall(sentence.text)) for sentence in (one, other))
    return bool(ours and theirs) and not ours & theirs


def _likeness(question: Question, one: Sentence, other: Sentence) -> float:
    """Cosine of two sentences without names, numbers and what both are about."""
    known = question.names | frozenset(w for s in (one, other) for _, w in words_and_stems(s.source.title))
    vectors = static_embedder().embed([_bare(sentence.text, known) for sentence in (one, other)])
    return max(0.0, float(np.dot(vectors[0], vectors[1])) - NO_RELATION)


def _bare(text: str, known: frozenset[str]) -> str:
    return " ".join(word for word, stem in words_and_stems(text) if stem not in known and not word[0].isdigit())


def _same_kind(question: Question, value: Value, rival: Value) -> float:
    if value.kind != "number":
        return SAME_KIND if value.kind in ("percent", "date") else 0.0
    if value.quantity:
        return SAME_UNIT
    asked = [word for word, stem in words_and_stems(question.plain) if stem in question.attributes]
    counted: Sequence[str] = value.counted or asked
    return SAME_COUNTED if are_near(counted, rival.counted) else 0.0


def _closeness(value: Value, rival: Value) -> float:
    if value.kind == "date":
        days = [_day(each) for each in (value, rival)]
        apart = abs((days[0] - days[1]).days) if days[0] and days[1] else CLOSE_DAYS[0][0]
        return next((worth for most, worth in CLOSE_DAYS if apart <= most), 0.0)
    ratio = size_ratio(value, rival)
    return next((worth for most, worth in CLOSE if ratio <= most), FAR_APART) if ratio else 0.0


def _day(value: Value) -> date | None:
    match = re.fullmatch(r"(\d{4})(?:-(\d\d))?(?:-(\d\d))?", value.keys[0])
    try:
        return date(int(match[1]), int(match[2] or 7), int(match[3] or 1)) if match else None
    except ValueError:
        return None

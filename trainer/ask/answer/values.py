"""Values in a sentence that may be the answer to a question: numbers with what they count or measure, dates, names."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Literal

from trainer.ask.answer.names import are_same_name, names_in, persons_in, places_in, predecessors_in
from trainer.ask.answer.phrases import known_words, phrases_in
from trainer.ask.answer.question import Question
from trainer.ask.answer.sentences import Sentence
from trainer.ask.answer.word_likeness import WordLikeness, are_near
from trainer.ask.citations.dates import parts_of_date
from trainer.ask.citations.facts import YEAR_NUMBER, Fact, facts_in, is_year, word_facts_in
from trainer.ask.citations.units import Quantity, quantity_at
from trainer.ask.citations.words import WORD, words_and_stems, words_of

ValueKind = Literal["number", "percent", "date", "name"]

COUNTED_WORDS = 3  # after a number, that may say what it counts
ANYTHING = frozenset("people persons individuals men women pieces items units things times places".split())
PEOPLE = frozenset("spectators visitors guests passengers travellers viewers residents inhabitants adults".split())
HEAD_LEAST = 0.5  # of the word that is asked for, by likeness
ROUND_WITHIN = 0.06  # the same, where the rough one has two digits before its zeros at most
ROUGHLY_WITHIN = 0.03  # of numbers, where one is said to be rough, or was converted from another unit
DIGITS_LEAST = 3  # that a number which ends in zeros has before them if it may be a rounded one
LABEL = re.compile(r"(?:^|[|;,.]\s)(?P<label>[^|:;,.\d]{3,40}?)\s?[:|]\s$")  # Passengers: …
EVERY = re.compile(r"\bevery\s$", re.IGNORECASE)
NEARBY = 20  # characters between a value and a word that was asked for, which halve what the word tells of it


@dataclass(frozen=True)
class Value:
    """A value at its place in a sentence; `keys` are its readings, the likeliest first, or the words of a name."""

    kind: ValueKind
    start: int
    end: int  # with its unit
    keys: tuple[str, ...]
    is_rough: bool = False  # "about 40"
    quantity: Quantity | None = None
    counted: tuple[str, ...] = ()  # words after a number without a unit


class ValueFinder:
    """Finds the values in sentences that may answer a question."""

    def __init__(self, question: Question, sentences: Sequence[Sentence]) -> None:
        self._question = question
        self._asks_how_often = "often" in question.text.lower() or "frequen" in question.text.lower()
        self._asked_keys = {key for fact in facts_in(question.text) for key in fact.keys}
        texts = [*(sentence.text for sentence in sentences), known_words()]
        self._likeness = WordLikeness(question.words, question.plain, texts, question.rival_words)

    def values(self, sentence: Sentence) -> list[Value]:
        """Values of the kind that is asked for, those first that stand nearest to words of the question."""
        hits = self._hits(sentence.text)
        kind = self._question.kind
        values = [] if kind == "name" else self._facts(sentence.text)
        values += self._names(sentence) if kind == "name" or (not kind and self.has_head(sentence)) else []
        return sorted(values, key=lambda value: (-_nearness(value, hits), value.start))

    def has_head(self, sentence: Sentence) -> bool:
        """Whether a sentence speaks of what “which …” or “what is the …” asks for, by that word or one like it."""
        head = self._question.head
        return bool(head) and self._likeness.shares(sentence.words)[head] >= HEAD_LEAST

    def _facts(self, text: str) -> list[Value]:
        """Numbers, percentages and dates that may be the answer: not those that the question itself has."""
        kind, dimensions = self._question.kind, self._question.dimensions
        candidates = [*facts_in(text), *(word_facts_in(text) if kind == "number" else [])]
        facts = [_value(text, fact) for fact in candidates if not self._asked_keys & set(fact.keys)]
        if kind == "date":
            return [v for v in facts if v.kind == "date" or ":" in v.keys[0] or _is_year_in_cell(text, v)]
        if kind == "percent":
            return [value for value in facts if value.kind == "percent"]
        if kind:
            facts = self._of_asked_type([value for value in facts if value.kind == "number"])
        fitting = [v for v in facts if v.quantity and v.quantity.kind in dimensions and not self._is_of_other(text, v)]
        return fitting or [
            v for v in facts if not dimensions or not (v.quantity or _is_in_row(text) or ":" in v.keys[0])
        ]

    def _of_asked_type(self, numbers: list[Value]) -> list[Value]:
        """Those that count what “how many” asks for, or measure as “how much” does, if any do."""
        question = self._question
        if question.dimensions or not (question.counted or question.asks_how_much):
            return numbers
        fitting = [value for value in numbers if bool(value.quantity) != bool(question.counted)]
        counting = [value for value in fitting if value.counted and are_near([question.counted], value.counted)]
        return (counting if question.counted else fitting) or fitting or numbers

    def _is_of_other(self, text: str, value: Value) -> bool:
        """Whether a quantity is one that is not asked for, by the word beside it: every 14 days, 14 metres wide."""
        if EVERY.search(text[: value.start]) and not self._asks_how_often:
            return True
        following = words_of(text[value.end : value.end + 20].strip().partition(" ")[0])
        return bool(following) and following[0] in self._question.rival_words

    def _names(self, sentence: Sentence) -> list[Value]:
        if not self._question.has_capitals:
            return []
        question = self._question
        known = question.words if question.asks_predecessor else question.words | predecessors_in(sentence.text)
        find = places_in if self._question.asks_where else persons_in if self._question.asks_who else names_in
        return [Value("name", name.start, name.end, name.words) for name in find(sentence.text, known)]

    def _hits(self, text: str) -> list[tuple[int, float]]:
        """Where words stand that were asked for, and how much of such a word each is."""
        hits = []
        for word in WORD.finditer(text):
            stems = [stem for _, stem in words_and_stems(word[0])]
            shares = self._likeness.shares(stems) if stems else {}
            share = max((shares[asked] for asked in self._question.attributes if asked in shares), default=0.0)
            if share:
                hits.append(((word.start() + word.end()) // 2, share))
        for phrase in phrases_in(text):
            shares = self._likeness.shares(words_of(phrase.word))
            share = max((shares[asked] for asked in self._question.attributes if asked in shares), default=0.0)
            hits += [((phrase.start + phrase.end) // 2, share)] if share else []
        return hits


def are_comparable(question: Question, one: Value, other: Value) -> bool:
    """Whether two values are of the same: both dates, or numbers that count or measure the same thing."""
    if one.kind != other.kind:
        return False
    if one.kind != "number":
        return True
    if one.quantity or other.quantity:
        return bool(one.quantity and other.quantity and one.quantity.dimension == other.quantity.dimension)
    if "how many" in question.text.lower() and ("." in one.keys[0]) != ("." in other.keys[0]):
        return False  # a fraction counts nothing
    ours, theirs = set(one.counted) - ANYTHING, set(other.counted) - ANYTHING
    are_of_anything = ours != set(one.counted) or theirs != set(other.counted)
    if are_of_anything or are_near(ours, theirs):
        return True
    asked = {word for word, stem in words_and_stems(question.plain) if stem in question.attributes}
    return all(not counted or are_near(counted, asked) or counted & PEOPLE for counted in (ours, theirs))


def agree(one: Value, other: Value) -> bool:
    """Whether two comparable values say the same, as far as their precision goes."""
    if one.kind == "name":
        return are_same_name(one.keys, other.keys)
    if set(one.keys) & set(other.keys) and _factor(one) == _factor(other):
        return True
    if one.kind == "date":
        return any(_is_same_day(a, b) for a in one.keys for b in other.keys)
    if _factor(one) != _factor(other):
        return _is_near(one, other) or _is_converted_rounding(one, other) or _is_converted_rounding(other, one)
    if any(value.is_rough and _is_near(one, other, _is_round(value)) for value in (one, other)):
        return True
    ours, theirs = (value.keys[0].rstrip("%") for value in (one, other))
    return _is_rounding(ours, theirs, one.is_rough) or _is_rounding(theirs, ours, other.is_rough)


def _is_converted_rounding(coarse: Value, fine: Value) -> bool:
    """Whether a value is another one, of a smaller unit, rounded in its own unit: 9 km of 9,400 m."""
    if _factor(coarse) < _factor(fine):
        return False
    try:
        converted = str(float(fine.keys[0]) * _factor(fine) / _factor(coarse))
    except ValueError:
        return False
    return _is_rounding(coarse.keys[0], converted, coarse.is_rough)


def _is_same_day(one: str, other: str) -> bool:
    """Whether two dates may be of the same day, where one may lack the day or the year."""
    return one.startswith(other) or other.startswith(one) or one in parts_of_date(other) or other in parts_of_date(one)


def size_ratio(one: Value, other: Value) -> float:
    """How many times the smaller one of two numbers the larger one is; 0 if that cannot be said."""
    try:
        ours, theirs = (abs(float(value.keys[0].rstrip("%"))) * _factor(value) for value in (one, other))
    except ValueError:
        return 0.0
    return max(ours, theirs) / min(ours, theirs) if min(ours, theirs) > 0 else 0.0


def _is_in_row(text: str) -> bool:
    """Whether a text is the row of a table with several values, of which a bare number may be any."""
    return text.count("|") > 1


def _is_year_in_cell(text: str, value: Value) -> bool:
    """Whether a value is a year that has a cell of a table for itself."""
    before, after = text[: value.start].rstrip()[-1:], text[value.end :].lstrip()[:1]
    return "|" in (before, after) and not {before, after} - {"|", ""} and bool(YEAR_NUMBER.fullmatch(value.keys[0]))


def _value(text: str, fact: Fact) -> Value:
    if fact.kind == "number" and is_year(text, fact):
        return Value("date", fact.start, fact.end, fact.keys)
    quantity = quantity_at(text, fact.start, fact.end) if fact.kind == "number" else None
    counted: list[str] = []
    if fact.kind == "number" and not quantity:
        following = re.split(r"[,.;:!?)(](?:\s|$)", text[fact.end : fact.end + 60])[0]
        counted = [word for word, _ in words_and_stems(" ".join(following.split()[:COUNTED_WORDS]))]
        if not counted and (label := LABEL.search(text[: fact.start])):
            counted = [word for word, _ in words_and_stems(label["label"])]
    end = quantity.end if quantity else fact.end
    return Value(fact.kind, fact.start, end, fact.keys, fact.is_rough, quantity, tuple(counted))


def _nearness(value: Value, hits: Sequence[tuple[int, float]]) -> float:
    """How much the words that were asked for stand about a value."""
    gaps = ((max(value.start - place, place - value.end, 0), share) for place, share in hits)
    return sum(share * NEARBY / (NEARBY + gap) for gap, share in gaps)


def _factor(value: Value) -> float:
    return value.quantity.factor if value.quantity else 1.0


def _is_round(value: Value) -> bool:
    return len(value.keys[0].rstrip("%").rstrip("0")) < DIGITS_LEAST


def _is_near(one: Value, other: Value, is_round: bool = False) -> bool:
    return 0 < size_ratio(one, other) <= 1 / (1 - (ROUND_WITHIN if is_round else ROUGHLY_WITHIN))


def _is_rounding(coarse: str, fine: str, is_rough: bool) -> bool:
    """Whether the first number is the second one rounded: 84 of 84.3, 2980 of 2979; 40 is none of 42 unless rough."""
    try:
        coarse_value, fine_value = Decimal(coarse), Decimal(fine)
        digits = coarse_value.normalize().as_tuple()
        exponent = int(digits.exponent)
        if exponent > 0 and len(digits.digits) < DIGITS_LEAST and not is_rough:
            exponent = 0
        return round(fine_value, -exponent) == coarse_value
    except (InvalidOperation, ValueError):  # no number, or one with more digits than decimal arithmetic keeps
        return False

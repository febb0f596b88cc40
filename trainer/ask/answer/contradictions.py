"""Contradictions: sentences of different sources about the same thing, with other numbers or dates."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation

from storage.contract.ask import Source
from storage.text import one_line
from trainer.ask.answer.question import Question
from trainer.ask.answer.sentences import OWN_LEAST, Sentence
from trainer.ask.citations.facts import Fact, facts_in
from trainer.ask.citations.words import words_of

ALIKE = 0.5  # share of their words that two sentences have in common, at least
WORTH_SHARE = 0.5  # of the best sentence's worth, that those about the question have
CONSIDERED = 40  # sentences, the best first
COUNTED_WORDS = 3  # after a number, that may say what it counts
ROUGHLY_WITHIN = 0.03  # of numbers, where one is said to be rough
DIGITS_LEAST = 3  # that a number which ends in zeros has before them if it may be a rounded one
BEFORE_YEAR = re.compile(r"(?:\b(?:in|since|from|until|before|after|year)|\()\s*$", re.IGNORECASE)


@dataclass(frozen=True)
class Report:
    """What one source says: the fact as it stands there, in its sentence."""

    source: Source
    fact: str
    sentence: str
    key: str

    @property
    def day(self) -> date | None:
        """As of when."""
        return self.source.updated or self.source.published


@dataclass(frozen=True)
class Contradiction:
    """Reports on one thing that do not agree: primary and newer sources first, one for each value."""

    reports: tuple[Report, ...]

    def sentence(self, markers: dict[str, str]) -> str:
        """Both told, with dates: as of 2026-05-02: 40 [1]; one report (2024-01-10) says 42 [2]."""
        first, *others = self.reports
        told = f"as of {first.day}: {first.fact}" if first.day else first.fact
        parts = [f"{told} {markers[first.source.id]}"]
        for other in others:
            when = f" ({_when(other)})" if other.day or other.source.stale else ""
            parts.append(f"one report{when} says {other.fact} {markers[other.source.id]}")
        return f"The sources disagree: {'; '.join(parts)}."


def _when(report: Report) -> str:
    return ", ".join(
        filter(None, [str(report.day) if report.day else "", "out of date" if report.source.stale else ""])
    )


def find_contradictions(question: Question, sentences: Sequence[Sentence]) -> list[Contradiction]:
    """Contradictions about what was asked, at most one for each fact that differs."""
    if question.kind == "name":
        return []  # which names are of the same thing nobody can tell by their spelling
    least = WORTH_SHARE * sentences[0].worth if sentences else 0.0
    relevant = [sentence for sentence in sentences[:CONSIDERED] if _is_relevant(sentence, least)]
    reports: list[Report] = []
    found: list[Contradiction] = []
    for n, one in enumerate(relevant if question.kind else relevant[:1]):
        if any(one.source.id == report.source.id for report in reports):
            continue
        pairs = [pair for other in relevant[n + 1 :] if (pair := _differing(question, one, other))]
        if pairs:
            reports = [pairs[0][0], *(pair[1] for pair in pairs)]
            values = {report.key for report in reports}
            if not any(values <= {report.key for report in earlier.reports} for earlier in found):
                found.append(Contradiction(_ordered(reports)))
    return found


def _is_relevant(sentence: Sentence, least: float) -> bool:
    return sentence.is_answer and sentence.own >= OWN_LEAST and sentence.worth >= least


def _differing(question: Question, one: Sentence, other: Sentence) -> tuple[Report, Report] | None:
    """The facts in which two sentences on the same thing differ; None if they agree, or are on different things."""
    if one.source.id == other.source.id:
        return None
    are_alike = _are_alike(question, one, other)
    ours, theirs = _asked_facts(question, one.text), _asked_facts(question, other.text)
    for fact in ours:
        rivals = [rival for rival in theirs if _is_comparable(question, one, fact, other, rival, are_alike)]
        if rivals and not any(_agree(fact, rival) for rival in rivals):
            rival = rivals[0]
            return _report(one, fact), _report(other, rival)
    return None


def _are_alike(question: Question, one: Sentence, other: Sentence) -> bool:
    ours, theirs = (frozenset(w for w in s.words if not w[0].isdigit()) for s in (one, other))
    common = ours & theirs
    smaller = min(len(ours), len(theirs))
    return smaller > 0 and len(common) / smaller >= ALIKE and bool(common & question.words or not question.words)


def _asked_facts(question: Question, text: str) -> list[Fact]:
    """Facts that may be the answer: not those that the question itself has."""
    asked = {key for fact in facts_in(question.text) for key in fact.keys}
    facts = [fact for fact in facts_in(text) if not asked & set(fact.keys)]
    if question.kind == "date":
        return [fact for fact in facts if fact.kind == "date" or _is_year(text, fact)]
    if question.kind:
        facts = [fact for fact in facts if fact.kind != "date" and not (_is_year(text, fact) and len(facts) > 1)]
    return facts


def _is_year(text: str, fact: Fact) -> bool:
    """Whether a number is a year: 1730 in "since 1730", not in "1730 people"."""
    looks_so = fact.kind == "number" and re.fullmatch(r"(?:1\d|20)\d\d", text[fact.start : fact.end]) is not None
    return looks_so and bool(BEFORE_YEAR.search(text[: fact.start]))


def _is_comparable(
    question: Question, one: Sentence, fact: Fact, other: Sentence, rival: Fact, are_alike: bool
) -> bool:
    """Whether two facts measure the same: both a date, or numbers that count the same thing."""
    if fact.kind != rival.kind or _is_year(one.text, fact) != _is_year(other.text, rival):
        return False
    if fact.kind != "number" or _is_year(one.text, fact):
        return are_alike or question.kind in (fact.kind, "date")
    ours, theirs = _counted(one.text, fact), _counted(other.text, rival)
    return question.same_words(ours, theirs) if ours and theirs else are_alike


def _counted(text: str, fact: Fact) -> list[str]:
    """The words that a number counts: those that follow it, stemmed."""
    return words_of(" ".join(text[fact.end : fact.end + 60].split()[:COUNTED_WORDS]))


def _agree(fact: Fact, other: Fact) -> bool:
    if set(fact.keys) & set(other.keys):
        return True
    if fact.kind == "date":
        return any(a.startswith(b) or b.startswith(a) for a in fact.keys for b in other.keys)
    if fact.kind == "percent" or fact.is_rough or other.is_rough:
        return _is_near(fact.keys[0].rstrip("%"), other.keys[0].rstrip("%"), fact.is_rough or other.is_rough)
    return _is_rounding(fact.keys[0], other.keys[0]) or _is_rounding(other.keys[0], fact.keys[0])


def _is_near(one: str, other: str, is_rough: bool) -> bool:
    try:
        ours, theirs = float(one), float(other)
    except ValueError:
        return False
    return abs(ours - theirs) <= (ROUGHLY_WITHIN if is_rough else 0) * max(abs(ours), abs(theirs))


def _is_rounding(coarse: str, fine: str) -> bool:
    """Whether the first number is the second one rounded: 84 of 84.3, 2980 of 2979; 40 is none of 42."""
    try:
        coarse_value, fine_value = Decimal(coarse), Decimal(fine)
    except InvalidOperation:
        return False
    digits = coarse_value.normalize().as_tuple()
    exponent = int(digits.exponent)
    if exponent > 0 and len(digits.digits) < DIGITS_LEAST:
        exponent = 0
    return round(fine_value, -exponent) == coarse_value


def _report(sentence: Sentence, fact: Fact) -> Report:
    words = sentence.text[fact.start : fact.end]
    after = sentence.text[fact.end : fact.end + 24].split(" ")
    unit = after[1].strip(".,;:!?()") if len(after) > 1 and after[0] == "" and fact.kind == "number" else ""
    told = f"{words} {unit}" if unit and words_of(unit) else words
    return Report(sentence.source, one_line(told), sentence.text, fact.keys[0])


def _ordered(reports: Sequence[Report]) -> tuple[Report, ...]:
    """One report for each value: those that are not stale first, then the newest, then as they were ranked."""
    order = sorted(reports, key=lambda r: (r.source.stale, -(r.day or date.min).toordinal()))
    values: dict[str, Report] = {}
    for report in order:
        values.setdefault(report.key, report)
    return tuple(values.values())

"""Contradictions: sentences of different sources about the same thing, with other numbers or dates."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from storage.contract.ask import Source
from storage.text import fold, one_line
from trainer.ask.answer.question import Question
from trainer.ask.answer.sentences import Sentence
from trainer.ask.citations.facts import Fact, facts_in
from trainer.ask.citations.words import stem, words_of

ALIKE = 0.5  # share of their words that two sentences have in common, at least
WORTH_SHARE = 0.85  # of the best sentence's worth, that those about the question have
CONSIDERED = 40  # sentences, the best first
SAME_WITHIN = 0.005  # of numbers: rounding is no contradiction


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
    least = WORTH_SHARE * sentences[0].worth if sentences else 0.0
    relevant = [sentence for sentence in sentences[:CONSIDERED] if sentence.is_answer and sentence.worth >= least]
    reports: list[Report] = []
    found: list[Contradiction] = []
    for n, one in enumerate(relevant):
        if any(one.source.id == report.source.id for report in reports):
            continue
        pairs = [pair for other in relevant[n + 1 :] if (pair := _differing(question, one, other))]
        if pairs:
            reports = [pairs[0][0], *(pair[1] for pair in pairs)]
            found.append(Contradiction(_ordered(reports)))
    return found


def _differing(question: Question, one: Sentence, other: Sentence) -> tuple[Report, Report] | None:
    """The facts in which two sentences on the same thing differ; None if they agree, or are on different things."""
    if one.source.id == other.source.id or not _are_alike(question, one, other):
        return None
    ours, theirs = _asked_facts(question, one.text), _asked_facts(question, other.text)
    for fact in ours:
        rivals = [rival for rival in theirs if _is_comparable(one.text, fact, other.text, rival)]
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
        return [fact for fact in facts if fact.kind == "date" or _is_year(fact)]
    if question.kind:
        facts = [fact for fact in facts if fact.kind != "date" and not (_is_year(fact) and len(facts) > 1)]
    return facts


def _is_year(fact: Fact) -> bool:
    return fact.kind == "number" and len(fact.keys[0]) == 4 and fact.keys[0][:2] in ("17", "18", "19", "20")


def _is_comparable(text: str, fact: Fact, other_text: str, other: Fact) -> bool:
    """Whether two facts measure the same: both a date, or with the same word after or before them."""
    if fact.kind != other.kind or _is_year(fact) != _is_year(other):
        return False
    if fact.kind == "date" or _is_year(fact):
        return True
    ours, theirs = _unit(text, fact), _unit(other_text, other)
    return ours == theirs or not ours or not theirs


def _unit(text: str, fact: Fact) -> str:
    """The word that a number counts: the next one, stemmed."""
    words = fold(text[fact.end : fact.end + 40]).replace("-", " ").split()
    return stem(words[0].strip(".,;:!?()")) if words and words_of(words[0]) else ""


def _agree(fact: Fact, other: Fact) -> bool:
    if set(fact.keys) & set(other.keys):
        return True
    if fact.kind == "date":
        return any(a.startswith(b) or b.startswith(a) for a in fact.keys for b in other.keys)
    try:
        ours, theirs = float(fact.keys[0].rstrip("%")), float(other.keys[0].rstrip("%"))
    except ValueError:
        return False
    within = 0.06 if fact.is_rough or other.is_rough else SAME_WITHIN
    return not (_is_year(fact)) and abs(ours - theirs) <= within * max(abs(ours), abs(theirs))


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

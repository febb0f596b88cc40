"""Contradictions: sentences of different sources about the same thing, with other numbers, dates or names."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import date

from storage.contract.ask import OWN_DOCS, Source
from storage.text import fold, one_line
from trainer.ask.answer.names import predecessors_in
from trainer.ask.answer.question import Question
from trainer.ask.answer.rivals import LEAST, are_of_different_years, evidence
from trainer.ask.answer.sentences import Sentence
from trainer.ask.answer.values import Value, ValueFinder, agree, are_comparable, size_ratio

OWN_LEAST = 0.2  # share of what is asked for that a sentence has itself
ALIKE = 0.5  # share of their words that two sentences have in common, at least, where no kind of fact is asked for
WORTH_SHARE = 0.5  # of the best sentence's worth, that those about the question have
BEST_SHARE = 0.7  # of it, that one of two contradictory sentences has
RATIO_MOST = 5.0  # of two numbers that are of one thing
CONSIDERED = 40  # sentences, the best first


@dataclass(frozen=True)
class Report:
    """What one source says: the value as it stands there, in its sentence."""

    source: Source
    fact: str
    sentence: str
    value: Value

    @property
    def day(self) -> date | None:
        """As of when."""
        return self.source.updated or self.source.published

    def is_reported_in(self, text: str, keys: Collection[str]) -> bool:
        """Whether a text, with these numbers and dates in it, gives the value."""
        if self.value.kind == "name":
            return fold(self.fact) in fold(text)
        return any(key in keys for key in self.value.keys)


@dataclass(frozen=True)
class Contradiction:
    """Reports on one thing that do not agree: primary and newer sources first, one for each value."""

    reports: tuple[Report, ...]

    @property
    def source_ids(self) -> frozenset[str]:
        """The sources that contradict each other."""
        return frozenset(report.source.id for report in self.reports)

    def sentence(self, markers: dict[str, str]) -> str:
        """Both told, with dates: as of 2026-05-02: 40 [1]; one report (2024-01-10) says 42 [2]."""
        first, *others = self.reports
        phrase = f"as of {first.day}: {first.fact}" if first.day else first.fact
        parts = [f"{phrase} {markers[first.source.id]}"]
        for other in others:
            when = f" ({_when(other)})" if other.day or other.source.stale else ""
            parts.append(f"one report{when} says {other.fact} {markers[other.source.id]}")
        return f"The sources disagree: {'; '.join(parts)}."


def _when(report: Report) -> str:
    return ", ".join(
        filter(None, [str(report.day) if report.day else "", "out of date" if report.source.stale else ""])
    )


def find_contradictions(question: Question, sentences: Sequence[Sentence]) -> list[Contradiction]:
    """Contradictions about what was asked, at most one for each value that differs."""
    return _ContradictionFinder(question, sentences).contradictions()


class _ContradictionFinder:
    def __init__(self, question: Question, sentences: Sequence[Sentence]) -> None:
        self._question = question
        least = WORTH_SHARE * sentences[0].worth if sentences else 0.0
        considered = [each for each in sentences[:CONSIDERED] if each.is_of_subject and each.has_kind]
        relevant = [each for each in considered if _is_relevant(each, least)]
        self._answering = len(relevant)  # the others come after those
        self._relevant = [*relevant, *(each for each in considered if not _is_relevant(each, least))]
        self._finder = finder = ValueFinder(question, sentences)
        self._stated: dict[str, list[Value]] = {}  # all values of each source
        self._words: dict[str, set[str]] = {}
        for sentence in sentences:
            former = frozenset() if question.asks_predecessor else predecessors_in(sentence.text)
            self._words.setdefault(sentence.source.id, set()).update(sentence.words - former)
            self._stated.setdefault(sentence.source.id, []).extend(finder.values(sentence))
        self._values = [finder.values(sentence) for sentence in self._relevant]

    def contradictions(self) -> list[Contradiction]:
        contradictions: list[Contradiction] = []
        least = BEST_SHARE * self._relevant[0].worth if self._answering else 0.0
        best = [n for n in range(self._answering) if self._relevant[n].worth >= least]
        for n in best if self._question.kind else best[:1]:
            reports = list(self._against(n))
            if not reports:
                continue
            first = self._report(n, self._values[n][0])
            group = _ordered([first, *reports])
            if not any(_says_no_more(group, earlier.reports) for earlier in contradictions):
                contradictions.append(Contradiction(group))
        return contradictions

    def _against(self, n: int) -> Iterator[Report]:
        """What sentences of other sources report instead of the likeliest value of the n-th."""
        one, values = self._relevant[n], self._values[n]
        for k in range(n + 1, len(self._relevant)):
            other, theirs = self._relevant[k], self._values[k]
            if not values or other.source.id == one.source.id or one.source.site == other.source.site == OWN_DOCS:
                continue  # one hand wrote our docs, all for one version: other numbers in them are of other things
            rival = next((each for each in theirs if are_comparable(self._question, values[0], each)), None)
            if not rival or self._agree_otherwise(n, one, other) or not self._are_of_the_same(n, k, rival):
                continue
            if not self._states(other, values[0]) and not self._states(one, rival):
                yield self._report(k, rival)

    def _are_of_the_same(self, n: int, k: int, rival: Value) -> bool:
        """Whether two sentences speak of what is asked for."""
        one, other, value = self._relevant[n], self._relevant[k], self._values[n][0]
        if self._question.kind != "date" and are_of_different_years(one, other):
            return False
        if size_ratio(value, rival) > RATIO_MOST:
            return False
        if k >= self._answering:
            return n == 0 and evidence(self._question, one, value, other, rival) >= LEAST
        if self._question.kind or _are_alike(self._question, one, other):
            return True
        return self._finder.has_head(one) and self._finder.has_head(other)

    def _agree_otherwise(self, n: int, one: Sentence, other: Sentence) -> bool:
        """Whether the sources of two sentences agree on what a better sentence than the n-th says."""
        better = (values[0] for values in self._values[:n] if values)
        return any(self._states(one, value) and self._states(other, value) for value in better)

    def _states(self, sentence: Sentence, value: Value) -> bool:
        """Whether the source of a sentence also gives this value: then it does not contradict it."""
        if value.kind == "name":
            return self._words[sentence.source.id].issuperset(value.keys)
        stated = self._stated[sentence.source.id]
        return any(are_comparable(self._question, value, each) and agree(value, each) for each in stated)

    def _report(self, n: int, value: Value) -> Report:
        sentence = self._relevant[n]
        return Report(sentence.source, _spelled(sentence.text, value), sentence.text, value)


def _is_relevant(sentence: Sentence, least: float) -> bool:
    return sentence.is_candidate and sentence.own >= OWN_LEAST and sentence.worth >= least


def _are_alike(question: Question, one: Sentence, other: Sentence) -> bool:
    ours, theirs = (frozenset(w for w in s.words if not w[0].isdigit()) for s in (one, other))
    common = ours & theirs
    smaller = min(len(ours), len(theirs))
    return smaller > 0 and len(common) / smaller >= ALIKE and bool(common & question.words or not question.words)


def _spelled(text: str, value: Value) -> str:
    """A value as it stands in its sentence, a number with the word that it counts."""
    end = value.end
    if value.counted and text[end : end + 1] == " ":
        following = text[end + 1 :].split(" ", 1)[0].strip(".,;:!?()")
        end += 1 + len(following) if following.lower() == value.counted[0] else 0
    return one_line(text[value.start : end])


def _says_no_more(group: Sequence[Report], earlier: Sequence[Report]) -> bool:
    """Whether all values of a group are told already."""
    return all(any(agree(report.value, other.value) for other in earlier) for report in group)


def _ordered(reports: Sequence[Report]) -> tuple[Report, ...]:
    """One report for each value: those that are not stale first, then the newest, then as they were ranked."""
    order = sorted(reports, key=lambda r: (r.source.stale, -(r.day or date.min).toordinal()))
    different: list[Report] = []
    for report in order:
        if not any(agree(report.value, other.value) for other in different):
            different.append(report)
    return tuple(different)

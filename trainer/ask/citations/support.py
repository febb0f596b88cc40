"""Whether a source says what a sentence says: its numbers, dates and quotations, and the words around them."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from rapidfuzz import fuzz

from storage.contract.ask import Source
from storage.text import fold
from trainer.ask.citations.facts import Fact, facts_in, keys_in
from trainer.ask.citations.measures import Measure, measure_of, measures_in
from trainer.ask.citations.words import words_of

QUOTED = re.compile(r'"([^"\n]{12,400})"|“([^”\n]{12,400})”|„([^“”\n]{12,400})[“”]|«([^»\n]{12,400})»')
QUOTE_RATIO = 88  # of 100: rapidfuzz's partial ratio at which a quotation counts as found
ORDINAL = re.compile(r"^\s*(?:[-*+•]\s+|#+\s+|\(?\d{1,2}[.)]\s+)+")  # of a list, which nobody claims
FOREIGN, FITTING = 0.34, 0.67  # shares of a sentence's words that a source has: hardly any, and most
LEAST_WORDS = 3  # with which a sentence can be compared by its words


@dataclass(frozen=True)
class Claims:
    """What can be checked of a piece of text."""

    facts: tuple[Fact, ...]
    quotes: tuple[str, ...]
    words: frozenset[str]
    measures: Mapping[Fact, Measure] = field(default_factory=dict)  # of facts with a unit

    @property
    def can_be_checked(self) -> bool:
        """Whether there is a number, a date or a quotation."""
        return bool(self.facts or self.quotes)


@dataclass(frozen=True)
class IndexedSource:
    """What was read of a source, indexed."""

    id: str
    folded: str
    keys: frozenset[str]
    words: frozenset[str]
    measures: tuple[Measure, ...] = ()

    @classmethod
    def of(cls, source: Source, text: str) -> "IndexedSource":
        """Index the text of a source; its title and dates are parts of it."""
        dates = " ".join(str(day) for day in (source.published, source.updated) if day)
        whole = f"{source.title}\n{dates}\n{text}"
        return cls(source.id, _plain(whole), keys_in(whole), frozenset(words_of(whole)), measures_in(text))

    def confirmed(self, claims: Claims) -> set[Fact | str]:
        """Those facts and quotations that the source has."""
        facts = {fact for fact in claims.facts if fact.is_in(self.keys) or self._has_converted(claims, fact)}
        return facts | {quote for quote in claims.quotes if self._has(quote)}

    def overlap(self, claims: Claims) -> float:
        """Share of the words that the source has."""
        return len(claims.words & self.words) / len(claims.words) if claims.words else 0.0

    def _has_converted(self, claims: Claims, fact: Fact) -> bool:
        """Whether the source has a quantity in another unit; in the same one its digits would be there."""
        ours = claims.measures.get(fact)
        return ours is not None and any(ours.is_converted(theirs) for theirs in self.measures)

    def _has(self, quote: str) -> bool:
        return quote in self.folded or fuzz.partial_ratio(quote, self.folded) >= QUOTE_RATIO


class SupportChecker:
    """Decides which sources a piece of an answer may cite."""

    def __init__(self, sources: Collection[IndexedSource], question: str = "") -> None:
        """`question` is what the answer may repeat: its numbers and quotations need no source."""
        self._sources: Mapping[str, IndexedSource] = {source.id: source for source in sources}
        self._asked_keys, self._asked = keys_in(question), _plain(question)

    def claims(self, text: str) -> Claims:
        """What can be checked of a piece of an answer."""
        text = ORDINAL.sub("", text)
        facts = tuple(fact for fact in facts_in(text) if not any(key in self._asked_keys for key in fact.keys))
        quotes = (_plain("".join(groups)) for groups in QUOTED.findall(text))
        quotes = (quote for quote in quotes if " " in quote and quote not in self._asked)
        measures = {fact: measure for fact in facts if (measure := measure_of(text, fact))}
        return Claims(facts, tuple(quotes), frozenset(words_of(text)), measures)

    def cited(self, text: str, ids: Collection[str]) -> tuple[list[str], bool]:
        """The sources to cite for a text for which `ids` were cited, and whether they have all that can be checked.

        A source that has none of it gives way to one that has all, and is not cited otherwise.
        """
        claims = self.claims(text)
        fitting = [id_ for id_ in ids if self._may_stand(id_, claims)]
        missing = self._missing(claims, fitting)
        if (missing or not fitting) and (better := self._best(claims)):
            fitting, missing = [*dict.fromkeys([*(i for i in fitting if self._adds(i, claims)), better])], set()
        if not fitting and not claims.can_be_checked:
            fitting = list(ids)  # no better one is known: it may be put in other words, or another language
        return fitting, not missing

    def is_known(self, text: str) -> bool:
        """Whether all that can be checked in a text is in the sources together."""
        return not self._missing(self.claims(text), self._sources)

    def _may_stand(self, id_: str, claims: Claims) -> bool:
        source = self._sources[id_]
        if claims.can_be_checked and not source.confirmed(claims):
            return False
        return len(claims.words) < LEAST_WORDS or source.overlap(claims) >= FOREIGN or not self._best(claims)

    def _adds(self, id_: str, claims: Claims) -> bool:
        return bool(self._sources[id_].confirmed(claims)) and self._sources[id_].overlap(claims) >= FITTING

    def _best(self, claims: Claims) -> str | None:
        """The source that has all that can be checked and most of the words, if there is one."""
        if len(claims.words) < LEAST_WORDS:
            return None
        whole = [
            s for s in self._sources.values() if s.overlap(claims) >= FITTING and not self._missing(claims, [s.id])
        ]
        return max(whole, key=lambda source: source.overlap(claims)).id if whole else None

    def _missing(self, claims: Claims, ids: Collection[str]) -> set[Fact | str]:
        missing: set[Fact | str] = {*claims.facts, *claims.quotes}
        for id_ in ids:
            missing -= self._sources[id_].confirmed(claims) if missing else set()
        return missing


def _plain(text: str) -> str:
    """Text for the search of quotations: folded, without markup, on one line."""
    return " ".join(re.sub(r"[*_`“”„«»\"]", "", fold(text)).split())

"""Whether a source says what a sentence says: its numbers, dates and quotations, and the words around them."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from rapidfuzz import fuzz

from storage.contract.ask import Source
from storage.text import fold
from trainer.ask.citations.facts import Fact, facts_in, keys_in
from trainer.ask.citations.measures import Measure, measure_of, measures_in
from trainer.ask.citations.words import CJK, words_of
from trainer.ask.urls import is_web_url, page_key

QUOTED = re.compile(r'"([^"\n]{12,400})"|“([^”\n]{12,400})”|„([^“”\n]{12,400})[“”]|«([^»\n]{12,400})»')
QUOTE_RATIO = 88  # of 100: rapidfuzz's partial ratio at which a quotation counts as found
ORDINAL = re.compile(r"^\s*(?:[-*+•]\s+|#+\s+|\(?\d{1,2}[.)]\s+)+")  # of a list, which nobody claims
FOREIGN, FITTING = 0.34, 0.67  # shares of a sentence's words that a source has: hardly any, and most
LEAST_WORDS = 3  # with which a sentence can be compared by its words
COPIED_WORDS = 5  # of a text that is known for a copy by standing in a source word for word
SAID = 0.8  # share of the words of a sentence without a citation that a source has which says the same
NEW_WORDS = 2  # of such a sentence that are not in the question


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
    url: str
    folded: str
    keys: frozenset[str]
    words: frozenset[str]
    measures: tuple[Measure, ...] = ()

    @classmethod
    def of(cls, source: Source, text: str) -> "IndexedSource":
        """Index the text of a source; its title and dates are parts of it."""
        dates = " ".join(str(day) for day in (source.published, source.updated) if day)
        whole = f"{source.title}\n{dates}\n{text}"
        return cls(source.id, source.url, _plain(whole), keys_in(whole), frozenset(words_of(whole)), measures_in(text))

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

    def has_copied(self, plain: str) -> bool:
        """Whether a text that was made plain stands in it word for word."""
        return plain in self.folded

    def _has(self, quote: str) -> bool:
        return quote in self.folded or fuzz.partial_ratio(quote, self.folded) >= QUOTE_RATIO


class SupportChecker:
    """Decides which sources a piece of an answer may cite."""

    def __init__(self, sources: Collection[IndexedSource], question: str = "") -> None:
        """`question` is what the answer may repeat: its numbers and quotations need no source."""
        self._sources: Mapping[str, IndexedSource] = {source.id: source for source in sources}
        self._asked_keys, self._asked = keys_in(question), _plain(question)
        self._asked_words = frozenset(words_of(question))
        self._by_address = {page_key(source.url): source.id for source in self._sources.values()}

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

        A source that has none of it gives way to one that has all, and is not cited otherwise. What was copied word for
        word is cited to where it stands.
        """
        claims = self.claims(text)
        if owners := self._owners(text):
            return [i for i in ids if i in owners or self._adds(i, claims)] or owners[:1], True
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

    def source_of(self, text: str) -> str | None:
        """The source that says what a sentence without a citation says, if one clearly does."""
        claims = self.claims(text)
        if text.rstrip().endswith(("?", ":")) or len(claims.words - self._asked_words) < NEW_WORDS:
            return None
        if owners := self._owners(text):
            return owners[0]
        best = self._best(claims)
        return best if best and self._sources[best].overlap(claims) >= SAID else None

    def source_at(self, url: str) -> str | None:
        """The source at an address."""
        return self._by_address.get(page_key(url)) if is_web_url(url) else None

    def has_address(self, url: str) -> bool:
        """Whether the text of a source has an address in it."""
        return any(source.has_copied(_plain(url)) for source in self._sources.values())

    def _owners(self, text: str) -> list[str]:
        """The sources in which a text stands word for word; none for a text of a few words."""
        plain = _plain(ORDINAL.sub("", text)).strip(" .,;:!?。！？")
        is_long = len(plain.split()) >= COPIED_WORDS or (CJK.search(plain) and len(plain) >= 2 * COPIED_WORDS)
        return [source.id for source in self._sources.values() if is_long and source.has_copied(plain)]

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

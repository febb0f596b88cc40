"""What a question wants to know: its words and names, and the kind of fact it asks for."""

import math
import re
from collections import Counter
from collections.abc import Sequence
from typing import Literal

from trainer.ask.answer.dimensions import asked_dimensions, dimension_words
from trainer.ask.citations.facts import NUMBER_WORD, facts_in
from trainer.ask.citations.units import quantity_at
from trainer.ask.citations.words import stem, words_of

AskedKind = Literal["", "number", "percent", "date", "name"]

PERCENT = re.compile(r"\b(?:percentage|percent|per cent|what (?:share|proportion|fraction))\b")
DATE = re.compile(r"\bwhen\b|\b(?:what|which) (?:exact )?(?:year|date|day|month|week|time|century|decade|season)\b")
COUNT = re.compile(r"\bhow (?:many|much|often|big|large|frequent|frequently)\b|\b(?:number|population|capacity|total) of\b")
WHO = re.compile(r"^(?:\w+ )?(?:who|whom)\b|\b(?:what|which) (?:person|people)\b", re.IGNORECASE)
WHERE = re.compile(r"^(?:\w+ )?where\b|\b(?:what|which) (?:city|town|village|country|place)\b", re.IGNORECASE)
WHOSE = re.compile(r"^(?:\w+ )?whose\b", re.IGNORECASE)
TIMES = re.compile(
    r"\b(?:o'clock|noon|midnight|[ap]\.?m\.?|daily|weekly|monthly|yearly|annually|every|spring|summer|autumn|winter|"
    r"(?:mon|tues|wednes|thurs|fri|satur|sun)days?|January|February|March|April|May|June|July|August|September|October|"
    r"November|December|century|[12]\d{3}|\d{1,2}[:.]\d\d)\b"
)
NUMBER = re.compile(
    rf"\d|{NUMBER_WORD.pattern}|\b(?:twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety|hundred|thousand|million|dozen|"
    r"free|half|twice|once|daily|weekly|every)\b",
    re.IGNORECASE,
)
KIND_WORDS = frozenset(words_of("percentage percent year date month day time number"))  # which the kind stands for
NAME = re.compile(r"(?<!^)\b(?:[A-ZÀ-Þ][\w.'-]*|\d[\w.]*)")


class Question:
    """A question that can be understood by itself."""

    def __init__(self, text: str) -> None:
        self.text = text
        words = frozenset(words_of(text))
        self.words = words - KIND_WORDS or words
        self.without_names = " ".join(NAME.sub(" ", text).split())
        self.names = frozenset(words_of(" ".join(NAME.findall(text)))) & self.words
        self.dimensions = asked_dimensions(text)
        self.dimension_words = frozenset(map(stem, dimension_words(self.dimensions))) & self.words
        self.kind = self._kind()
        self.asks_who, self.asks_where = bool(WHO.search(text)), bool(WHERE.search(text))

    def _kind(self) -> AskedKind:
        lowered = self.text.lower()
        if PERCENT.search(lowered):
            return "percent"
        if self.dimensions or COUNT.search(lowered):
            return "number"
        if DATE.search(lowered):
            return "date"
        return "name" if any(pattern.search(self.text) for pattern in (WHO, WHERE, WHOSE)) else ""

    @property
    def attributes(self) -> frozenset[str]:
        """Its words that are no names: what it wants to know of them."""
        return self.words - self.names

    def weights(self, texts: Sequence[str]) -> dict[str, float]:
        """How much each word tells: more if it is rare in these texts. Those of names add up to 1, as do the others."""
        counts = Counter(word for text in texts for word in set(words_of(text)))
        weights = {word: math.log(1 + (len(texts) + 1) / (counts[word] + 0.5)) for word in self.words}
        totals = {part: sum(weights[word] for word in part) or 1.0 for part in (self.names, self.attributes)}
        return {word: weights[word] / totals[self.names if word in self.names else self.attributes] for word in weights}

    def has_kind(self, text: str) -> bool:
        """Whether a text has a fact of the kind that is asked for; yes if none is."""
        if self.kind == "percent":
            return any(fact.kind == "percent" for fact in facts_in(text))
        if self.kind == "date":
            return bool(TIMES.search(text)) or any(fact.kind == "date" for fact in facts_in(text))
        if self.kind == "name":
            return any(frozenset(words_of(name)) - self.words for name in NAME.findall(text))
        if self.dimensions:
            return self.has_dimension(text, or_unknown=True)
        return not self.kind or bool(NUMBER.search(text))

    def has_dimension(self, text: str, or_unknown: bool = False) -> bool:
        """Whether a text has a quantity of a dimension that is asked for, or at least one of an unknown dimension."""
        facts = [fact for fact in facts_in(text) if fact.kind == "number"]
        quantities = [quantity_at(text, fact.start, fact.end) for fact in facts]
        if any(q.kind in self.dimensions for q in quantities if q):
            return True
        return or_unknown and (None in quantities or bool(NUMBER.search(text)) and not facts)

"""What a question wants to know: its words, names and synonyms, and the kind of fact it asks for."""

import math
import re
from collections import Counter
from collections.abc import Collection, Sequence
from typing import Literal

from trainer.ask.citations.facts import facts_in
from trainer.ask.citations.words import stem, words_of

AskedKind = Literal["", "number", "percent", "date", "name"]

KINDS: list[tuple[re.Pattern[str], AskedKind]] = [
    (re.compile(r"\b(?:percentage|percent|per cent|what share)\b"), "percent"),
    (re.compile(r"\bhow (?:many|much|long|far|old|tall|high|deep|big|large|wide|heavy|fast|often)\b"), "number"),
    (
        re.compile(
            r"\b(?:toll|price|fee|costs?|speed|height|length|depth|width|weight|area|population|gauge|temperature|version|port)\b"
        ),
        "number",
    ),
    (re.compile(r"\b(?:when|(?:what|which|in what) (?:year|date|day|month)|since when)\b"), "date"),
    (re.compile(r"^(?:\w+ )?(?:who|whom|whose|where)\b|\bwhich (?:architect|person|city|town|country)\b"), "name"),
]
TIMES = re.compile(
    r"\b(?:o'clock|noon|midnight|[ap]\.?m\.?|daily|weekly|monthly|yearly|annually|every|spring|summer|autumn|winter|"
    r"(?:mon|tues|wednes|thurs|fri|satur|sun)days?|January|February|March|April|May|June|July|August|September|October|"
    r"November|December|century|[12]\d{3})\b"
)
COUNTS = re.compile(
    r"\d|\b(?:one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|twenty|thirty|forty|fifty|hundred|thousand|"
    r"million|dozen|free|half|twice|once|daily|weekly|every)\b",
    re.IGNORECASE,
)
SYNONYMS = [
    frozenset(map(stem, group.split()))
    for group in (
        "tall high height metres meters feet",
        "long length metres kilometres meters miles",
        "old age",
        "visitors visitor people guests attended attendance",
        "cost costs charge charges charged toll fee price",
        "office offices headquarters headquartered seat based",
        "climb climbs climbed climber ascent ascended ascend",
        "prize prizes award awards winner wins receives",
        "speed fast knots maximum top",
        "design designed designs designer architect plans drew",
        "work works employ employs employed employee employees staff payroll people",
        "cost costs price prices fee charge expensive pay euros dollars",
        "deep depth",
        "wide width",
        "fast speed kmh",
        "heavy weigh weighs weight kilograms kg tons tonnes",
        "far distance kilometres kilometers km miles",
        "live lives population inhabitants residents people",
        "open opens opened opening inaugurated",
        "built build construct constructed construction completed shipyard yard keel",
        "start starts begin begins began begun launched",
        "found founded established create created set",
        "write wrote written author",
        "make makes made produce produces produced manufacture product products develop developed",
        "lead leads head director directs directed mayor chair president",
        "big large size area",
        "close closes closed shut",
        "end ends ended stop stopped terminus terminates",
        "buy purchase",
        "car automobile",
        "photo photos picture pictures image images",
        "remove delete deleted",
        "use used uses",
        "percentage percent share",
        "allow allowed permit",
        "name called named",
    )
]
KIND_WORDS = frozenset(words_of("percentage percent year date month day number"))  # which the kind of fact stands for
NAME = re.compile(r"(?<!^)\b(?:[A-ZÀ-Þ][\w.'-]*|\d[\w.]*)")


class Question:
    """A question that can be understood by itself."""

    def __init__(self, text: str) -> None:
        self.text = text
        words = frozenset(words_of(text))
        self.words = words - KIND_WORDS or words
        self.without_names = " ".join(NAME.sub(" ", text).split())
        self.names = frozenset(words_of(" ".join(NAME.findall(text)))) & self.words
        lowered = text.lower()
        self.kind: AskedKind = next((kind for pattern, kind in KINDS if pattern.search(lowered)), "")
        self._likes = {word: frozenset({word}).union(*(g for g in SYNONYMS if word in g)) for word in self.words}

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

    def matched(self, words: Collection[str]) -> frozenset[str]:
        """Its words that a text has, itself or by a synonym."""
        return frozenset(word for word in self.words if not self._likes[word].isdisjoint(words))

    def same_words(self, some: Collection[str], others: Collection[str]) -> bool:
        """Whether two texts have a word in common, or synonyms of one that was asked for."""
        common = self.matched(some) & self.matched(others) & self.attributes
        return bool(common) or not set(some).isdisjoint(others)

    def has_kind(self, text: str) -> bool:
        """Whether a text has a fact of the kind that is asked for; yes if none is."""
        if self.kind == "percent":
            return any(fact.kind == "percent" for fact in facts_in(text))
        if self.kind == "date":
            return bool(TIMES.search(text)) or any(fact.kind == "date" for fact in facts_in(text))
        if self.kind == "name":
            return any(frozenset(words_of(name)) - self.words for name in NAME.findall(text))
        return not self.kind or bool(COUNTS.search(text))

"""What a question wants to know: its words and names, and the kind of fact it asks for."""

import math
import re
from collections import Counter
from collections.abc import Collection, Sequence

from trainer.ask.answer.asked_kind import WHERE, WHO, WHO_IS, kind_asked
from trainer.ask.answer.dimensions import asked_dimensions, dimension_words
from trainer.ask.answer.free_of_charge import is_free_of_charge
from trainer.ask.answer.languages import AskedKind, language_of
from trainer.ask.answer.names import names_in
from trainer.ask.answer.phrases import in_plain_words
from trainer.ask.answer.preamble import without_preamble
from trainer.ask.answer.subject import subject_stems
from trainer.ask.answer.word_likeness import related_words
from trainer.ask.citations.facts import YEAR_NUMBER, Fact, facts_in, is_year
from trainer.ask.citations.number_words import numbers_in_words
from trainer.ask.citations.units import quantity_at
from trainer.ask.citations.words import stem, words_of

HOW_MANY = re.compile(r"\bhow many\s+(\w+)", re.IGNORECASE)
HOW_MUCH = re.compile(r"\bhow much\b", re.IGNORECASE)
TIMES = re.compile(
    r"\b(?:o'clock|noon|midnight|[ap]\.?m\.?|daily|weekly|monthly|yearly|annually|every|spring|summer|autumn|winter|"
    r"(?:mon|tues|wednes|thurs|fri|satur|sun)days?|January|February|March|April|May|June|July|August|September|October|"
    r"November|December|century|[12]\d{3}|\d{1,2}[:.]\d\d)\b"
)
OTHER_COUNTS = re.compile(r"(?i)[〇一二三四五六七八九十百千]|\b(?:free|half|twice|once|daily|weekly|every)\b")
BARE = re.compile(r"\s*(?:[,.;:)](?!\d)|$|(?:and|or|in|at|to|on|by|for|of|with|when|after|as|per|each)\b)")
HEAD = re.compile(
    r"\b(?:which|what)\s+(?:(?:kinds?|types?|sorts?|species|brands?|forms?)\s+of\s+|)"
    r"(?:(?!is\b|are\b|was\b|were\b|do\b|does\b|did\b|has\b|have\b|will\b|can\b)(\w+)|"
    r"(?:is|are|was|were)\s+(?:the|its|their)\s+(?:\w+\s+){0,2}?(\w+)\s+(?:of|for|in|at|on)\b)",
    re.IGNORECASE,
)
WHO_DID = re.compile(  # who owned …, but not who is …
    r"\s*who\s+(?!(?:is|are|was|were|do|does|did|has|have|had|will|would|can|could|should|may|might|must)\b)(\w+)",
    re.IGNORECASE,
)
LIGHT_WORDS = frozenset(  # which the kind of fact stands for, or which only qualify it
    words_of(
        "percentage percent proportion year date month day time number name kind type sort top maximum highest "
        "total average overall current currently exact exactly approximately roughly usually normally"
    )
)
LIGHT_VERBS = frozenset(words_of("give gives make makes put puts take takes use used uses"))  # their object tells more
GENERAL_VERBS = LIGHT_VERBS | frozenset(words_of("go goes come comes keep keeps need needs look looks happen happens"))
DOES_SUPPORT = re.compile(r"\s*(?:does|do|did|will|can)\b.*\bsupport\b", re.IGNORECASE)  # another light verb
IDENTIFIER = re.compile(r"\b\w+_\w|(?<!\w)--\w")  # of a program, as DARKROOM_HOME and --json
MAXIMUM = re.compile(r"\b(?:maximum|highest|at most)\b", re.IGNORECASE)
ORDINARY = re.compile(r"\b(?:usual|normal|typical|average)(?:ly)?\b|\bminimum\b", re.IGNORECASE)
ASKS_PREDECESSOR = re.compile(r"\b(?:succeed|replac|predecessor|former|took over|before)", re.IGNORECASE)
ROLE = re.compile(r"\b[A-Z]{2,5}(?= of\b)")  # the CEO of …, which is no name
NAME = re.compile(r"(?<!^)\b(?:[A-ZÀ-Þ][\w.'-]*|\d[\w.]*)")


class Question:
    """A question that can be understood by itself."""

    def __init__(self, text: str) -> None:
        self.text = text = without_preamble(text)
        before, _, asked = text.rpartition("? ")  # a follow-up stands behind the question that it refers to
        self.asked = asked = without_preamble(asked)
        self.language = language_of(text)
        self.has_capitals = self.language is None or self.language.has_capitals
        self.plain = plain = in_plain_words(text) if self.language is None else text
        words = frozenset(words_of(plain))
        words -= _answered_before(before) - frozenset(words_of(asked))
        self.words = words - LIGHT_WORDS - (self.language.stems if self.language else frozenset()) or words
        named = ROLE.sub(lambda role: role[0].lower(), plain if self.has_capitals else plain.lower())
        self.names = frozenset(words_of(" ".join(NAME.findall(named)))) & self.words
        light_verbs = LIGHT_VERBS | frozenset({"support"} if DOES_SUPPORT.match(asked) else ())
        if self.words - self.names - light_verbs:
            self.words -= light_verbs - self.names
        self.light_words = words & LIGHT_WORDS
        self.attributes = frozenset(words_of(NAME.sub(" ", named))) & self.words  # what it wants to know of them
        self.dimensions = frozenset() if self.language else asked_dimensions(asked)
        of_dimensions = frozenset(map(stem, dimension_words(self.dimensions)))
        self.dimension_words = of_dimensions & self.words
        self.rival_words = of_dimensions.difference(self.words, *map(related_words, self.words))  # wide, beside long
        self.subject_stems = frozenset() if self.language else subject_stems(text, bool(self.names)) & self.words
        self.kind = self._kind()
        self.head = self._head()
        self.counted = how_many[1] if (how_many := HOW_MANY.search(asked)) else ""
        self.asks_how_much = bool(HOW_MUCH.search(asked))
        self.asks_maximum = bool(MAXIMUM.search(asked)) and not ORDINARY.search(asked)
        self.asks_predecessor = bool(ASKS_PREDECESSOR.search(asked))
        self.asks_who, self.asks_where = bool(WHO.search(asked)), bool(WHERE.search(asked))
        self._asks_person = self.asks_who and bool(WHO_IS.search(asked))

    @property
    def asks_who_did(self) -> bool:
        """Whether the head is a deed."""
        return WHO_DID.match(self.asked) is not None

    def _head(self) -> str:
        """What is asked for, as a stem: the river of “which river …”, the prize of “what is the prize of …”.

        Of “who owned …” it is the deed.
        """
        match = HEAD.search(self.asked) or WHO_DID.match(self.asked)
        stems = words_of(next(filter(None, match.groups()), "")) if match else []
        return stems[0] if stems and stems[0] in self.words else ""

    def _kind(self) -> AskedKind:
        if self.language:
            return self.language.kind_of(self.asked.lower())
        return kind_asked(self.asked, bool(self.dimensions))

    def weights(self, texts: Sequence[str]) -> dict[str, float]:
        """How much each word tells: more if it is rare in these texts (inverse document frequency)."""
        counts = Counter(word for text in texts for word in set(words_of(text)))
        words = self.words | self.light_words
        return {word: math.log(1 + (len(texts) + 1) / (counts[word] + 0.5)) for word in words}

    def has_kind(self, text: str) -> bool:
        """Whether a text has a fact of the kind that is asked for; yes if none is."""
        if self.asks_maximum and ORDINARY.search(text) and not MAXIMUM.search(text):
            return False
        if self.kind == "percent":
            return any(fact.kind == "percent" for fact in facts_in(text))
        if self.kind == "date":
            return bool(TIMES.search(text)) or any(_is_day(text, fact) for fact in facts_in(text))
        if self.kind == "name":
            return self.has_name(text) or not self.has_capitals
        if self.dimensions:
            is_free = "money" in self.dimensions and is_free_of_charge(text, self.attributes)
            return self.has_dimension(text) or _has_bare_number(text) or is_free
        things = self.words if self.counted else None
        return not self.kind or _has_count(text, things) or bool(OTHER_COUNTS.search(text))

    def has_dimension(self, text: str) -> bool:
        """Whether a text has a quantity of a dimension that is asked for."""
        numbers = [(fact.start, fact.end) for fact in facts_in(text) if fact.kind == "number"]
        numbers += [(start, end) for start, end, _ in numbers_in_words(text)]
        quantities = (quantity_at(text, start, end) for start, end in numbers)
        return any(quantity.kind in self.dimensions for quantity in quantities if quantity)

    def has_name(self, text: str) -> bool:
        """Whether a text has a name that the question does not have; of a person if it asks for one: no acronym."""
        if not (self.asks_who or self.asks_where) and IDENTIFIER.search(text):
            return True
        names = names_in(text, self.words)
        return any(not (self._asks_person and text[name.start : name.end].isupper()) for name in names)


def _answered_before(question: str) -> frozenset[str]:
    """The words of an earlier question by which it asked for something else than what it was about."""
    if names := frozenset(words_of(" ".join(NAME.findall(question)))):
        return frozenset(words_of(question)) - names
    return frozenset(map(stem, dimension_words(asked_dimensions(question))))


def _is_day(text: str, fact: Fact) -> bool:
    """Whether a fact is a date, or a number that may be a year."""
    return fact.kind == "date" or bool(YEAR_NUMBER.fullmatch(text[fact.start : fact.end]))


def _has_count(text: str, things: Collection[str] | None) -> bool:
    """Whether a text has a number that is no year; if it is one of things, it measures nothing else either."""
    numbers = [fact for fact in facts_in(text) if fact.kind != "date"]
    if things is not None:
        units = [quantity_at(text, fact.start, fact.end) for fact in numbers]
        numbers = [fact for fact, unit in zip(numbers, units, strict=True)
                   if not unit or not set(things).isdisjoint(words_of(text[fact.end : unit.end]))]  # fmt: skip
    may_count = any(not (_is_day(text, fact) and BARE.match(text, fact.end)) for fact in numbers)
    return may_count or next(numbers_in_words(text), None) is not None


def _has_bare_number(text: str) -> bool:
    """Whether a text has a number that neither counts nor measures anything, nor is a year: 84 in “its depth is 84”."""
    numbers = (fact for fact in facts_in(text) if fact.kind == "number" and not is_year(text, fact))
    return any(BARE.match(text, fact.end) for fact in numbers)

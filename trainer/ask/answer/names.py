"""Names in a sentence that may be an answer: of persons for “who”, of places for “where”."""

import re
from collections.abc import Collection, Iterator
from typing import NamedTuple

from storage.text import fold
from trainer.ask.citations.words import words_of

CAPITAL = r"(?:[A-ZÀ-ÖØ-Þ]|Mc|d'|O')[\w’'-]*[\w]"
PARTICLES = r"(?:of|von|van|de|der|den|del|della|di|da|dos|du|la|le|und|bin|al|ter|zu|y)"
PHRASE = re.compile(rf"{CAPITAL}(?:(?:\s[A-Z]\.)*(?:\s{PARTICLES}){{0,2}}\s{CAPITAL})*")
CALENDAR = frozenset(
    words_of(
        "January February March April May June July August September October November December "
        "Monday Tuesday Wednesday Thursday Friday Saturday Sunday "
        "Jan Feb Mar Apr Jun Jul Aug Sep Sept Oct Nov Dec Mon Tue Wed Thu Fri Sat Sun"
    )
)
TITLES = frozenset(
    words_of(
        "Mr Mrs Ms Miss Dr Prof Professor Sir Dame Lord Lady Captain President Mayor Chancellor Minister King Queen "
        "Chief Executive Officer Director CEO CTO CFO Chair Chairman Chairwoman Manager Dean Judge General Saint"
    )
)
PLACE = re.compile(
    r"\b(?:in|at|to|near|from|of|is|are|was|on|around|outside|between|through|as|by)\s(?:[a-zß-ÿ]+\s){0,2}$|"
    r"[^\W\d]\s?[:|]\s$"
)
FAMILY = re.compile(r"\s(?:famil(?:y|ies)|brothers|sisters|siblings|couple)\b")
PREDECESSOR = re.compile(
    rf"\b(?:succeed(?:s|ed|ing)?|replac(?:es|ed|ing)|took over from)\s(?:[a-zß-ÿ]+\s){{0,2}}({PHRASE.pattern})"
)
LABEL = re.compile(r"[^\W\d]\s?[:|]\s$")  # Conductor: …
IDENTIFIER = re.compile(r"[\d_]")  # DARKROOM_HOME, IPX6


class Name(NamedTuple):
    """A name at its place in a text."""

    start: int
    end: int
    words: tuple[str, ...]  # folded and stemmed, without titles and what is known


def names_in(text: str, known: Collection[str]) -> list[Name]:
    """Names in a text, without the words that are known, like those of the question; titles are no part of a name."""
    return [name for phrase in PHRASE.finditer(text) if (name := _name(phrase, known)) and not _begins(text, name)]


def persons_in(text: str, known: Collection[str]) -> list[Name]:
    """Names that are likely a person's: of several words, or after a title or a label, or of a family."""
    return [name for name in names_in(text, known) if _is_person(text, name)]


def places_in(text: str, known: Collection[str]) -> list[Name]:
    """Names that stand where a place does: after a preposition or a label."""
    return [name for name in names_in(text, known) if PLACE.search(text[: name.start])]


def predecessors_in(text: str) -> frozenset[str]:
    """Words of the names of those whose place somebody else took: Marta Vreeland in “he succeeds Marta Vreeland”."""
    return frozenset(word for match in PREDECESSOR.finditer(text) for word in words_of(fold(match[1])))


def are_same_name(one: Collection[str], other: Collection[str]) -> bool:
    """Whether two names are likely of the same: they end alike, or most of the shorter one is in the other."""
    ours, theirs = tuple(one), tuple(other)
    common = len(set(ours) & set(theirs))
    return ours[-1] in theirs or theirs[-1] in ours or common > min(len(ours), len(theirs)) / 2


def _name(phrase: re.Match[str], known: Collection[str]) -> Name | None:
    """The part of a phrase that is new: what follows its last title, between words that are known."""
    words = list(_placed_words(phrase))
    while words and _is_dull(words[0][2], known):
        words.pop(0)
    while words and _is_dull(words[-1][2], known):
        words.pop()
    stems = tuple(stem for *_, stem in words if stem and not _is_dull(stem, known))
    if not stems or set(stems) <= CALENDAR or all(IDENTIFIER.search(word) for word in phrase[0].split()):
        return None
    return Name(words[0][0], words[-1][1], stems)


def _placed_words(phrase: re.Match[str]) -> Iterator[tuple[int, int, str]]:
    for word in re.finditer(r"\S+", phrase[0]):
        stems = words_of(fold(word[0]))
        yield phrase.start() + word.start(), phrase.start() + word.end(), stems[0] if stems else ""


def _is_dull(stem: str, known: Collection[str]) -> bool:
    return not stem or stem in known or stem in TITLES


def _begins(text: str, name: Name) -> bool:
    """Whether it is a single word at the beginning, which has a capital letter anyway."""
    return len(name.words) == 1 and not text[: name.start].strip("“\"'‘( ")


def _is_person(text: str, name: Name) -> bool:
    before = text[: name.start]
    words = words_of(before[-30:])
    is_introduced = bool(words) and (words[-1] in TITLES or LABEL.search(before) is not None)
    return len(name.words) > 1 or is_introduced or FAMILY.match(text, name.end) is not None

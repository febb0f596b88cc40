"""Phrases that stand for one word: “came into the world” is “born”. `phrases.toml` has them, for English."""

import re
from functools import lru_cache
from typing import NamedTuple

from storage.data_files import read_toml

A_FEW_WORDS = r"(?:\S+\s+){0,2}\S+"


class Phrase(NamedTuple):
    """A phrase at its place in a text, and the word that it stands for."""

    start: int
    end: int
    word: str


def phrases_in(text: str) -> list[Phrase]:
    """The phrases of a text, in no order.

    >>> [phrase.word for phrase in phrases_in("She came into the world in Graz")]
    ['born']
    """
    lowered = text.lower()
    if len(lowered) != len(text):  # a letter that is two when small, as the Turkish dotted I
        return []
    return [Phrase(*match.span(), word) for word, pattern in _patterns().items() for match in pattern.finditer(lowered)]


def words_of_phrases(text: str) -> str:
    """The words that the phrases of a text stand for."""
    return " ".join(dict.fromkeys(phrase.word for phrase in phrases_in(text)))


def in_plain_words(text: str) -> str:
    """A text with a word in place of each phrase."""
    end, parts = 0, list[str]()
    for phrase in sorted(phrases_in(text)):
        if phrase.start >= end:
            parts += [text[end : phrase.start], phrase.word]
            end = phrase.end
    return "".join([*parts, text[end:]])


def known_words() -> str:
    """All words that a phrase may stand for."""
    return " ".join(_patterns())


@lru_cache(maxsize=1)
def _patterns() -> dict[str, re.Pattern[str]]:
    table: dict[str, list[str]] = read_toml("trainer.ask.answer", "phrases.toml")
    return {word: re.compile(rf"\b(?:{'|'.join(map(_pattern, spelled))})\b") for word, spelled in table.items()}


def _pattern(spelled: str) -> str:
    return spelled.replace("~", A_FEW_WORDS).replace(" ", r"\s+")

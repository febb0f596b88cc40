"""The language of a question, and how it asks: `languages.toml` has what is known of languages beside English."""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from storage.data_files import read_toml
from storage.text import fold
from trainer.ask.citations.words import CJK, ENGLISH_STOP_WORDS, stem

AskedKind = Literal["", "number", "percent", "date", "name"]
WORD = re.compile(r"[^\W\d_]+")


@dataclass(frozen=True)
class Language:
    """What is known of a language. `kinds` are patterns by the kind of fact that they ask for."""

    code: str
    words: frozenset[str]  # that say nothing of what is asked for
    kinds: tuple[tuple[AskedKind, re.Pattern[str]], ...]

    @property
    def has_capitals(self) -> bool:
        """Whether a capital letter tells a name: German nouns have one as well, other scripts have none."""
        return self.code not in ("de", "cjk")

    @property
    def stems(self) -> frozenset[str]:
        """The same words as they are compared."""
        return frozenset(stem(fold(word)) for word in self.words)

    def kind_of(self, question: str) -> AskedKind:
        """The kind of fact that a question asks for; empty if that is not known."""
        return next((kind for kind, pattern in self.kinds if pattern.search(question.lower())), "")


def language_of(question: str) -> Language | None:
    """The language of a question, if it is one of those in the table; None for English and all others."""
    if CJK.search(question):
        return _languages()["cjk"]
    words = [word.lower() for word in WORD.findall(question)]
    counts = {code: sum(word in language.words for word in words) for code, language in _languages().items()}
    best = max(counts, key=lambda code: counts[code])
    english = sum(word in ENGLISH_STOP_WORDS for word in words)
    return _languages()[best] if counts[best] > english else None


@lru_cache(maxsize=1)
def _languages() -> dict[str, Language]:
    tables = read_toml("trainer.ask.answer", "languages.toml")
    return {
        code: Language(
            code,
            frozenset(table["words"].split()),
            tuple((kind, re.compile(pattern)) for kind, pattern in table["kinds"].items() if pattern),
        )
        for code, table in tables.items()
    }

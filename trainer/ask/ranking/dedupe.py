"""Near-duplicates: pages with the same text are merged into the one that is most likely the original.

Texts are compared by shingles (Broder 1997), runs of five words; a short copy within a longer page counts as one, too.
"""

import re
from collections.abc import Sequence
from datetime import date
from urllib.parse import urlsplit

from trainer.ask.ranking.source_text import SourceText
from trainer.ask.urls import normalised_url

SHINGLE_WORDS = 5
SAME = 0.8  # share of the smaller text's shingles that are in the other one
SHINGLES_MIN = 8  # of a text that is compared
WORD = re.compile(r"\w+")
SAYS_COPIED = re.compile(
    r"(originally|first) (published|appeared)|reprinted|republished|syndicated|this (article|text|copy) is from|"
    r"\bsource:|\bvia\b|mirror of|reproduced (from|with)",
    re.IGNORECASE,
)
FAR = date.max


def shingles(text: str) -> frozenset[int]:
    """Hashes of all runs of five words."""
    words = WORD.findall(text.casefold())
    return frozenset(hash(tuple(words[k : k + SHINGLE_WORDS])) for k in range(len(words) - SHINGLE_WORDS + 1))


def are_near_duplicates(one: frozenset[int], other: frozenset[int], same: float = SAME) -> bool:
    """Whether the smaller text is in the other one, nearly word for word."""
    smaller = min(len(one), len(other))
    return smaller >= SHINGLES_MIN and len(one & other) >= same * smaller


def merge_copies(texts: Sequence[SourceText]) -> list[SourceText]:
    """The texts without copies, in their order; the original of each group lists the URLs of its copies."""
    groups: list[list[tuple[SourceText, frozenset[int]]]] = []
    for text in texts:
        own = shingles(text.text)
        group = next((g for g in groups if any(are_near_duplicates(own, other) for _, other in g)), None)
        if group is None:
            groups.append([(text, own)])
        else:
            group.append((text, own))
    return [_merged([text for text, _ in group]) for group in groups]


def _merged(group: list[SourceText]) -> SourceText:
    original = min(group, key=lambda text: _originality(text, group))
    copies = tuple(dict.fromkeys(text.source.url for text in group if text is not original))
    return original.with_source(copies=copies[:100]) if copies else original


def _originality(text: SourceText, group: list[SourceText]) -> tuple[int, bool, bool, date, int]:
    """What tells the original from its copies, the most telling first; the least is the original."""
    others = [other for other in group if other is not text]
    url, host = normalised_url(text.source.url), urlsplit(text.source.url).hostname or "-"
    named = sum(normalised_url(other.canonical_url) == url or host in other.text for other in others)
    says_copied = bool(SAYS_COPIED.search(text.text[:400]) or SAYS_COPIED.search(text.text[-400:]))
    return -named, text.source.snippet_only, says_copied, text.source.published or FAR, text.rank

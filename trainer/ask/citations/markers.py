"""Citation markers of models: `[1]`, `[1, 2]`, `[1-3]`, `[[1][2]]`, `[^1]`, `【1†source】`, `［１］`, `[Source 1]`."""

import re

OPENERS, CLOSERS = "[【［", "]】］"
OPEN, CLOSE = rf"\\?[{re.escape(OPENERS)}]", rf"\\?[{re.escape(CLOSERS)}]"
RANGE_MAX = 20  # sources that one range may name: `[1-2000]` is none

NUMBER = r"[0-9０-９]{1,9}"
LABEL = r"(?:(?:sources?|refs?|references?|citations?|documents?|docs?|results?)\s*:?\s*#?\s*|#)?"
DASH = r"\s*[-–—‑~～]\s*"
DETAIL = rf"(?:[:：]{NUMBER})?(?:\s*†[^{re.escape(OPENERS + CLOSERS)}\n]{{0,80}}+)?+"  # OpenAI's `【4:0†source】`
ITEM = rf"{LABEL}\^?{NUMBER}(?:{DASH}{NUMBER})?+{DETAIL}"
SEPARATOR = r"(?:\s*[,;，、；&/+|]\s*(?:and\s+)?|\s+and\s+|\s+)"
ITEMS = rf"\s*+{ITEM}(?:{SEPARATOR}{ITEM})*+"
SIMPLE = rf"{OPEN}{ITEMS}\s*+{CLOSE}"
MARKER = re.compile(rf"{SIMPLE}|{OPEN}\s*+{SIMPLE}(?:(?:{SEPARATOR})?{SIMPLE})*+\s*+{CLOSE}", re.IGNORECASE)
UNCLOSED = re.compile(rf"{OPEN}{ITEMS}(?![\w%]|[.,:/-]\d|\s*\))", re.IGNORECASE)
PLAIN_ITEMS = re.compile(rf"{ITEMS}\s*+", re.IGNORECASE)  # without brackets, as between tags
NUMBERS = re.compile(rf"({NUMBER})(?:{DASH}({NUMBER}))?{DETAIL}")


def marker_numbers(token: str) -> tuple[int, ...] | None:
    """The numbers that a marker cites, in its order; None if the token, with its brackets, is no marker.

    `[^1]` is a footnote in Markdown, and what stands there is a source, too.

    >>> marker_numbers("[1, 3-5]"), marker_numbers("【2†source】"), marker_numbers("[a note]")
    ((1, 3, 4, 5), (2,), None)
    """
    return numbers_in(token) if MARKER.fullmatch(token) else None


def numbers_in(text: str) -> tuple[int, ...]:
    """Numbers and ranges of numbers in a marker, in their order, each once; a range that is too long has none."""
    numbers: list[int] = []
    for first, last in NUMBERS.findall(text):
        low, high = int(first), int(last or first)
        numbers += range(low, high + 1) if high - low < RANGE_MAX else ()
    return tuple(dict.fromkeys(numbers))

"""Splitting texts into passages: whole sentences, about a paragraph long, that overlap nowhere."""

import re
from dataclasses import dataclass

WORDS_WANTED, WORDS_MAX = 90, 140
PASSAGES_MAX = 400  # of one text
BLANK_LINE = re.compile(r"\n\s*\n|\n(?=#{1,6} |[-*] |\d+\. |\|)")
SENTENCE_END = re.compile(r"(?<=[.!?。！？])[\"'”’)\]]*(?:\s+|(?<=[。！？]))(?=\S)")
HEADING = re.compile(r"#{1,6}\s+(.+)")
CJK = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")


@dataclass(frozen=True)
class TextPassage:
    """A part of a text: `position` is that of its first character, `heading` what it stands under."""

    text: str
    position: int
    heading: str = ""


def split_passages(text: str) -> list[TextPassage]:
    """Passages of a text in its order; short paragraphs are joined, long ones are split between sentences."""
    passages: list[TextPassage] = []
    start, end, words, heading = 0, 0, 0, ""
    for first, last in _pieces(text):
        title = HEADING.fullmatch(text[first:last].strip())
        count = _words(text[first:last])
        if words and (title or words + count > WORDS_MAX or words >= WORDS_WANTED):
            passages.append(_passage(text, start, end, heading))
            words = 0
        if title:
            heading = title[1].strip(" #")
        if not words:
            start = first
        end, words = last, words + count
    if words:
        passages.append(_passage(text, start, end, heading))
    return passages[:PASSAGES_MAX]


def _passage(text: str, first: int, last: int, heading: str) -> TextPassage:
    inner = text[first:last].lstrip()
    return TextPassage(inner.rstrip(), last - len(inner), heading)


def split_sentences(text: str) -> list[str]:
    """Sentences of a passage, by their punctuation and by lines."""
    return [text[first:last].strip() for first, last in _pieces(text)]


def _pieces(text: str) -> list[tuple[int, int]]:
    """Where sentences begin and end; a line break in the middle of a paragraph is none."""
    pieces = []
    for first, last in _between(BLANK_LINE, text, 0, len(text)):
        for begin, end in _between(SENTENCE_END, text, first, last):
            pieces += _cut(text, begin, end)
    return pieces


def _between(separator: re.Pattern[str], text: str, first: int, last: int) -> list[tuple[int, int]]:
    spans, begin = [], first
    for match in separator.finditer(text, first, last):
        spans.append((begin, match.start()))
        begin = match.end()
    spans.append((begin, last))
    return [(a, b) for a, b in spans if text[a:b].strip()]


def _cut(text: str, first: int, last: int) -> list[tuple[int, int]]:
    """Cut what has no sentences, like long tables, at spaces."""
    limit = WORDS_MAX * 10
    cuts = []
    while last - first > limit:
        space = text.rfind(" ", first + limit // 2, first + limit)
        end = space if space > 0 else first + limit
        cuts.append((first, end))
        first = end
    return [*cuts, (first, last)]


def _words(text: str) -> int:
    """Words of a text; two characters of Chinese, Japanese or Korean count as one."""
    return len(text.split()) + len(CJK.findall(text)) // 2

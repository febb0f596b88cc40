"""Splitting passages into sentences, each with what it stands under: the question of a FAQ, the head of a table."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import dropwhile, groupby

from storage.text import clean
from trainer.ask.answer.phrases import words_of_phrases

SENTENCE_BREAK = re.compile(
    r"(?<!\b[A-Z]\.)(?<!\b(?:Dr|Mr|St|No|vs|ca)\.)(?<!\b(?:Mrs|e\.g|i\.e|etc|Fig|Vol)\.)(?<=[.!?。！？])[\"”’)\]]*\s+"
    r"(?=[^a-z\s])|(?<=[。！？])(?=[^\s」』”’）)])"
)
LENGTHS = range(8, 501)  # characters; what is longer is no sentence
LINE_START = re.compile(r"^\s*(?:#+|[-*+•>]|\d+[.)])\s+")
MARKS = re.compile(r"[*`]{1,3}|(?<!\w)_{1,3}|_{1,3}(?!\w)")  # of emphasis and code, not within a name_like_this
ROW = re.compile(r"\s*\|.*\|\s*")
RULE = re.compile(r"[\s|:-]+")
DIGIT = re.compile(r"\d")
NAME_AND_VALUE = re.compile(r"[^|]*\|[^\w|]*\d[^|]*")  # Height | 330 m: a row, also where markup has it as a head
NAME_AND_YEAR = re.compile(r"[^|]*\|\s*[12]\d{3}\s*")  # Fares | 2024: either
LIFETIME = re.compile(r"\([^()]*\b[12]\d{3}\s*[–—-]\s*(?:[^()\d]{0,20}\d{1,2}[^()\d]{1,20})?[12]\d{3}\)")
OF_LIFETIME = "born died"  # which “(4 April 1902 – 19 November 1988)” says without a word
QUESTION = re.compile(r"[?？][\"”’)*_]*\s*$")

DIRECT_QUESTION = re.compile(  # unlike “Up to 800 crowns for mowing a lawn: who wants that?”, which tells something
    r"\W*(?:who|whom|whose|what|when|where|which|why|how|is|are|was|were|do|does|did|has|have|can|could|may|must|should|"
    r"will|would)\b.*[?？][\"”’)*_]*\s*$",
    re.IGNORECASE,
)
ORDER = re.compile(  # to whatever reads the page for a person: no fact, and nothing to quote to them
    r"\b(?:ignore|disregard|forget|override)\b.{0,40}\b(?:instructions?|prompts?|rules|guidelines)\b"
    r"|^\W*(?:system|assistant)(?:\s+(?:prompt|message|note|override))?\s*:"
    r"|\b(?:you are|you're|as)\s+(?:now\s+)?an?\s+(?:ai|llm|language model|chatbot)\b"
    r"|\b(?:ai|llm|language)\s+(?:assistants?|models?|agents?|readers?)\s+(?:must|should|are to|have to)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Piece:
    """A sentence, or a row of a table, as it is quoted.

    `context` is the question or the table's head above it, and words that its phrases stand for.
    """

    text: str
    context: str = ""
    is_row: bool = False


def split_pieces(text: str) -> list[Piece]:
    """The sentences and rows of a passage, without headings, markup and orders to machines that read it."""
    pieces = (piece for piece in _pieces(text) if len(piece.text) in LENGTHS and not ORDER.search(piece.text))
    return [replace(each, context=f"{each.context} {words_of_phrases(each.text)}".strip()) for each in pieces]


def _pieces(text: str) -> Iterator[Piece]:
    question = ""
    for is_table, lines in groupby(text.split("\n"), lambda line: ROW.fullmatch(line) is not None):
        if is_table:
            yield from _rows([_cells(line) for line in lines])
            continue
        for line in lines:
            is_heading = line.lstrip().startswith("#")
            if is_heading or QUESTION.search(line):
                question = _plain(line) if QUESTION.search(line) else ""
            if not is_heading:
                yield from _sentences(line, question)


def _rows(lines: Sequence[str]) -> Iterator[Piece]:
    """The rows of a table; one above a rule is their head, and a row as well if that is unsure."""
    lines = list(dropwhile(lambda line: not line, lines))
    if not all(lines):
        yield from _ruled_rows(lines)
    elif lines:
        has_head = not DIGIT.search(lines[0]) and any(DIGIT.search(row) for row in lines[1:])  # words above numbers
        yield Piece(lines[0], is_row=True)
        yield from (Piece(row, lines[0] if has_head else "", is_row=True) for row in lines[1:])


def _ruled_rows(lines: Sequence[str]) -> Iterator[Piece]:
    """The rows of a table with rules, which are empty; a caption has one as well, and is part of the head."""
    head, was_head = "", False
    for line, following in zip(lines, [*lines[1:], "end"], strict=True):
        if not line:
            continue
        if following:
            yield Piece(line, head, is_row=True)
        else:
            is_row = NAME_AND_VALUE.fullmatch(line) is not None
            own = line if not is_row or NAME_AND_YEAR.fullmatch(line) else ""
            if is_row:
                yield Piece(line, is_row=True)
            head = f"{head} {own}" if was_head else own
        was_head = not following


def _sentences(line: str, question: str) -> Iterator[Piece]:
    """The sentences of a line; a question among them answers nothing, and is what those after it stand under."""
    for part in SENTENCE_BREAK.split(line):
        if DIRECT_QUESTION.match(part):
            question = _plain(part)
        else:
            yield _sentence(part, question)


def _sentence(text: str, question: str) -> Piece:
    return Piece(_plain(text), f"{question} {OF_LIFETIME}" if LIFETIME.search(text) else question)


def _cells(line: str) -> str:
    """A row of a table without its outer bars; empty for the rule below its head."""
    return "" if RULE.fullmatch(line) else _plain(line.strip().strip("|"))


def _plain(text: str) -> str:
    return MARKS.sub("", LINE_START.sub("", clean(text))).strip()

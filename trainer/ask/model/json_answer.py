"""Answers that models wrap in JSON, though nobody asked for it: `{"answer": "…", "citations": [1]}`."""

import json
import re
from typing import Any

SPACE = r"\s{0,99}"  # more is no indentation, and is not waited for
BEGUN = re.compile(rf"{SPACE}(?:`{{0,2}}|```[a-z]{{0,8}}{SPACE}(?:\{{{SPACE})?|\{{{SPACE})", re.IGNORECASE)
OPENING = re.compile(rf"{SPACE}(?:```(?:json)?{SPACE})?\{{{SPACE}\"", re.IGNORECASE)
START = re.compile(rf"{SPACE}(?:```(?:json)?{SPACE})?", re.IGNORECASE)
ANSWERS = ("answer", "final_answer", "response")
TEXTS = (*ANSWERS, "text", "content", "result", "output", "message", "summary", "claim", "sentence", "statement")
PARTS = ("answers", "claims", "sentences", "statements", "points")
SOURCES = ("citations", "sources", "references", "source", "citation", "source_ids")
NUMBERS = ("number", "id", "index", "source", "source_id")
KNOWN = {*TEXTS, *PARTS, *SOURCES, *NUMBERS}
END = re.compile(r"\s*(?:```\s*)?")
CUT_OFF = re.compile(rf'"(?:{"|".join(ANSWERS)})"\s*:\s*"((?:[^"\\]|\\.)*)', re.IGNORECASE)


class JsonAnswerFilter:
    """Takes the pieces of one answer. Text that begins like a JSON object is held back until it is over."""

    def __init__(self) -> None:
        self._held = ""
        self._passes = False  # it is known to be no JSON

    def feed(self, piece: str) -> str:
        """The text that is certain to be no JSON."""
        if self._passes:
            return piece
        self._held += piece
        if BEGUN.fullmatch(self._held) or OPENING.match(self._held):
            return ""
        self._passes = True
        return self._held

    def finish(self) -> str:
        """The answer in what was held back, or what was held back if there is none in it."""
        return "" if self._passes else answer_in_json(self._held)


def answer_in_json(text: str) -> str:
    """The answer in a JSON object, with markers of the sources that it names; the text itself if there is none.

    An object with other fields is none unless one is called the answer: it may be what was asked for.

    >>> answer_in_json('{"answer": "It is 40 m.", "citations": [2]}'), answer_in_json('{"a": 1}')
    ('It is 40 m. [2]', '{"a": 1}')
    """
    try:
        found, end = json.JSONDecoder(strict=False).raw_decode(text, START.match(text).end())  # type: ignore[union-attr]
    except (ValueError, RecursionError):
        cut = CUT_OFF.search(text)
        return (cut[1].replace('\\"', '"').replace("\\n", "\n") if cut else "") or text
    answer, after = _text_of(found), text[END.match(text, end).end() :].strip()  # type: ignore[union-attr]
    return "\n\n".join(filter(None, (answer, after))) if answer else text


def _text_of(value: Any) -> str:
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, list):
        return "\n".join(filter(None, map(_text_of, value)))
    if not isinstance(value, dict):
        return ""
    named = {str(name).lower(): each for name, each in value.items()}
    if named.keys().isdisjoint((*ANSWERS, *PARTS)) and not named.keys() <= KNOWN:
        return ""
    text = next(filter(None, (_text_of(named[name]) for name in (*TEXTS, *PARTS) if name in named)), "")
    if not text or "[" in text:
        return text
    numbers = [number for name in SOURCES if name in named for number in _numbers_of(named[name])]
    return " ".join([text, "".join(f"[{number}]" for number in dict.fromkeys(numbers))]).strip()


def _numbers_of(value: Any) -> list[int]:
    if isinstance(value, list):
        return [number for each in value for number in _numbers_of(each)]
    if isinstance(value, dict):
        return next((_numbers_of(value[name]) for name in NUMBERS if name in value), [])
    digits = re.fullmatch(r"\D{0,12}(\d{1,4})\D?", str(value)) if isinstance(value, int | str) else None
    return [int(digits[1])] if digits else []

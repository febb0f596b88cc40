"""Citations that are written without square brackets: `(1)`, `(Source 1)`, `¹`, `<sup>1</sup>`, `<cite>1</cite>`.

They look like other things: items of a list, powers, remarks. So what stands around them decides, and where that is not
known yet, more has to come.
"""

import re
from typing import Literal

from trainer.ask.citations.markers import ITEMS, PLAIN_ITEMS, SIMPLE, numbers_in
from trainer.ask.citations.units import dimension_of

Undecided = Literal["more"]
Found = tuple[int, tuple[int, ...]]  # characters, and the numbers that are cited; none for what is dropped
STARTERS = "(<⁽⁰¹²³⁴⁵⁶⁷⁸⁹"

SUPERSCRIPTS = re.compile("⁽?[⁰¹²³⁴-⁹]+(?:[,˒⁻][⁰¹²³⁴-⁹]+)*⁾?")
DIGITS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹˒⁻", "0123456789,-", "⁽⁾")
WORD_BEFORE = re.compile(r"[^\W\d_]+$")
SHORT_UNIT = 2  # letters of units that are squared: m², cm³
PARENTHESES = re.compile(rf"\((?:see\s+)?(?P<items>{ITEMS})\s*+\)", re.IGNORECASE)
PARENTHESIS_BEGUN = re.compile(r"\([a-z\s:#]{0,16}[\d\s,;&–-]{0,20}", re.IGNORECASE)
LETTER = re.compile(r"[^\W\d_]")
AFTER = re.compile(r"[.,;:!?\n]")
NOT_BEFORE = re.compile(r"(?:^|[:,;(\d\n]|\band|\bor)\s*$", re.IGNORECASE)  # a list of items, or a paragraph of a law
NAMES = "sup|cite|ref|source|citation"
TAG = re.compile(rf"<(?P<tag>{NAMES})\b[^<>\n]{{0,80}}>(?P<inner>[^<>\n]{{0,80}})</(?P=tag)>", re.IGNORECASE)
TAG_BEGUN = re.compile(
    rf"<(?:/?[a-z_]{{0,14}}|(?:{NAMES})\b[^<>\n]{{0,80}}(?:>[^<>\n]{{0,80}}(?:</?[a-z]{{0,14}})?)?)", re.IGNORECASE
)
WRAPPER = re.compile(r"</?(?:answer|response|final_answer|final)>", re.IGNORECASE)  # around all that a model says


def other_marker(text: str, at: int, before: str, at_end: bool) -> Found | Undecided | None:
    """What begins at a place of a text: a citation, or None; `before` stands before it, and more may come."""
    if text[at] == "(":
        return _in_parentheses(text, at, before, at_end)
    if text[at] == "<":
        return _in_tags(text, at, before, at_end)
    match = SUPERSCRIPTS.match(text, at)
    if not match:
        return None
    if match.end() == len(text) and not at_end:
        return "more"
    return None if _is_power(before) else (match.end(), numbers_in(match[0].translate(DIGITS)))


def _in_parentheses(text: str, at: int, before: str, at_end: bool) -> Found | Undecided | None:
    match = PARENTHESES.match(text, at)
    if not match:
        return "more" if not at_end and PARENTHESIS_BEGUN.fullmatch(text, at) else None
    if match.end() == len(text) and not at_end:
        return "more"
    has_label = LETTER.search(match["items"]) or text[at + 1 : at + 4].lower() == "see"
    follows = match.end() == len(text) or AFTER.match(text, match.end())
    if not has_label and (not follows or NOT_BEFORE.search(before)):
        return None
    return match.end(), numbers_in(match["items"])


def _in_tags(text: str, at: int, before: str, at_end: bool) -> Found | Undecided | None:
    if wrapper := WRAPPER.match(text, at):
        return wrapper.end(), ()
    match = TAG.match(text, at)
    if not match:
        return "more" if not at_end and TAG_BEGUN.fullmatch(text, at) else None
    inner = match["inner"].strip()
    is_marker = PLAIN_ITEMS.fullmatch(inner) or re.fullmatch(SIMPLE, inner, re.IGNORECASE)
    if not is_marker or (match["tag"].lower() == "sup" and _is_power(before)):
        return None
    return match.end(), numbers_in(inner)


def _is_power(before: str) -> bool:
    """Whether raised digits are a power: after a number, or a unit."""
    word = WORD_BEFORE.search(before)
    return before[-1:].isdigit() or (word is not None and (len(word[0]) <= SHORT_UNIT or bool(dimension_of(word[0]))))

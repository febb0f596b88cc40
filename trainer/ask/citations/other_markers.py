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

SUPERSCRIPTS = re.compile("⁽?[⁰¹²³⁴-⁹]{1,9}(?:[,˒⁻][⁰¹²³⁴-⁹]{1,9}){0,9}⁾?")
DIGITS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹˒⁻", "0123456789,-", "⁽⁾")
WORD_BEFORE = re.compile(r"[^\W\d_]+$")
SHORT_UNIT = 2  # letters of units that are squared: m², cm³
RAISED_WORDS = frozenset("sin cos tan cot sec csc sinh cosh tanh log exp det mol rad".split())
RAISED_BEFORE = re.compile(  # 10⁻³, |x|², (a + b)²
    r"[⁺⁻⁼ⁿⁱ|]$|\((?=[^()]*[^\W\d_])(?=[^()]*[-+−*/·])(?:(?![^\W\d_]{3})[^()])*\)$"
)
NO_BASE = re.compile(  # of a power: years, and numbers of three digits and more that are no power of ten
    r"(?<![\d.,])(?:(?:1[5-9]|20)\d\d|\d{1,3}(?:,\d{3})+|(?!10+$)\d{3,})$"
)
RAISED_AFTER = re.compile("[A-Za-z0-9(⁺⁻⁼ⁿⁱ]")  # ²³⁵U, sin²(x), Ca²⁺
PARENTHESES = re.compile(rf"\((?:see\s+)?(?P<items>{ITEMS})\s*+\)", re.IGNORECASE)
PARENTHESIS_BEGUN = re.compile(  # what may become one; so may each beginning of it
    r"\((?:sources?|references?|refs?|citations?|documents?|docs?|results?|see|and|[^\w()<>\n]|\d)*+[a-z]{0,10}",
    re.IGNORECASE,
)
PARENTHESIS_MAX = 80  # characters
LETTER = re.compile(r"[^\W\d_]")
AFTER = re.compile(r"[.,;:!?\n。、，；：！？]")
NOT_BEFORE = re.compile(  # a list of items, a paragraph of a law, or a call: f(1)
    r"(?:^|[:,;(\d\n]|\band|\bor)\s*$|[a-z_\])]$", re.IGNORECASE
)
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
    if not at_end and (match.end() if match else at) >= len(text) - 1:
        return "more"  # what follows, and whether a comma goes on
    if not match or _is_power(before, match[0].translate(DIGITS)) or RAISED_AFTER.match(text, match.end()):
        return None
    return match.end(), numbers_in(match[0].translate(DIGITS))


def _in_parentheses(text: str, at: int, before: str, at_end: bool) -> Found | Undecided | None:
    match = PARENTHESES.match(text, at)
    begun = PARENTHESIS_BEGUN.match(text, at, at + PARENTHESIS_MAX)
    begun_to = begun.end() if begun else at
    if not match:
        return "more" if not at_end and begun_to == len(text) else None
    if begun_to < match.end() - 1:
        return None
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
    if not is_marker or (match["tag"].lower() == "sup" and _is_power(before, inner)):
        return None
    return match.end(), numbers_in(inner)


def _is_power(before: str, digits: str) -> bool:
    """Whether raised digits are a power: after a small number, a unit, a function or a formula; nobody writes x¹."""
    if RAISED_BEFORE.search(before):
        return True
    if before[-1:].isdigit():
        return digits != "1" and NO_BASE.search(before) is None
    word = WORD_BEFORE.search(before)
    if not word or digits == "1":
        return False
    is_area = digits in ("2", "3") and dimension_of(word[0]) == "length"
    return len(word[0]) <= SHORT_UNIT or word[0].lower() in RAISED_WORDS or is_area

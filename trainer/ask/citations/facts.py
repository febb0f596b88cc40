"""Numbers, percentages and dates in a text, normalised: 1,000 is 1000 and 1 000, and 3 May 2024 is 2024-05-03.

A fact has all the readings that its spelling allows, since 1.000 is one thing in English and another in German.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from storage.data_files import read_toml
from trainer.ask.citations.dates import NUMBERS, dates_in, parts_of_date
from trainer.ask.citations.number_words import numbers_in_words
from trainer.ask.citations.words import CJK, CJK_RANGES

FactKind = Literal["number", "percent", "date"]

_TABLE = read_toml("trainer.ask.citations", "numbers.toml")
MULTIPLIERS: dict[str, int] = _TABLE["multipliers"]
SHORT_MULTIPLIERS: dict[str, int] = _TABLE["short_multipliers"]
SPACES = "\u00a0\u2009\u202f "
TIMES = "|".join(sorted((word for word in MULTIPLIERS if not CJK.match(word)), key=len, reverse=True))
FIGURE = re.compile(
    rf"(?<![^\W{CJK_RANGES}])(?<![.])(?P<figure>\d{{1,3}}(?:[{SPACES}]\d{{3}})+(?![\d,.]\d|\d)|\d+(?:[.,'’:]\d+)*+)"
    rf"(?:\s?(?P<percent>[%％]|(?:percent|per\s?cent|prozent|pour\s?cent|por\s?ciento|percento)\b)|"
    rf"[\s-]?(?P<times>(?:{TIMES})\b|[千万萬億亿兆])(?:(?<=mio|mrd|tsd)\.)?|(?<=\d)\s?(?P<short>m|b|tn)\b)?",
    re.IGNORECASE,
)
NUMBERED_NAME = re.compile(r"(?<!\w)(?P<name>[^\W\d_]+)-\d+(?:[.,:]\d+)*")  # MPL-2.0, Covid-19
NOT_NAMES = frozenset(month.lower() for month in NUMBERS) | set(
    "am pm mid pre post early late since until".split()
)  # before a hyphen
CURRENCY_BEFORE = re.compile(r"[$€£¥₹]\s?$")
ROUGHLY = re.compile(
    r"(?:about|around|approximately|approx\.?|roughly|nearly|almost|over|more than|less than|fewer than|under|at least|"
    r"some|circa|ca\.|~|≈|"
    r"etwa|rund|ungefähr|knapp|gut|über|environ|unos|unas|約|およそ)"
    r"\s*[$€£¥]?$",
    re.IGNORECASE,
)
ROUGHLY_WITHIN = 0.06
YEAR_NUMBER = re.compile(r"(?:1\d|20)\d\d")
BEFORE_YEAR = re.compile(r"(?:\b(?:in|since|from|until|before|after|year|by)|\()\s*$", re.IGNORECASE)


@dataclass(frozen=True)
class Fact:
    """A number, percentage or date at its place in a text; `keys` are its readings, the likeliest first."""

    kind: FactKind
    start: int
    end: int
    keys: tuple[str, ...]
    is_rough: bool = False  # "about 40"

    def is_in(self, keys: frozenset[str]) -> bool:
        """Whether one of its readings is among these."""
        if any(key in keys for key in self.keys):
            return True
        return self.is_rough and any(_is_near(key, other) for key in self.keys for other in keys)


def facts_in(text: str) -> list[Fact]:
    """All facts of a text, in their order; a figure within a date is no fact of its own."""
    found = (Fact("date", start, end, keys) for start, end, keys in dates_in(text))
    dates = sorted(found, key=lambda fact: (fact.start, -fact.end))
    taken: list[Fact] = []
    for date in dates:
        if not taken or date.start >= taken[-1].end:
            taken.append(date)
    blanked = list(text)
    for date in taken:
        blanked[date.start : date.end] = " " * (date.end - date.start)
    without_names = NUMBERED_NAME.sub(_blank_name, "".join(blanked))
    return sorted([*taken, *_figures_in(without_names)], key=lambda fact: fact.start)


def word_facts_in(text: str) -> list[Fact]:
    """Numbers in words, but for “one”, which mostly counts nothing."""
    found = ((start, end, _plain(value)) for start, end, value in numbers_in_words(text))
    return [Fact("number", start, end, (key,)) for start, end, key in found if key != "1"]


def all_facts_in(text: str) -> list[Fact]:
    """The facts of a text, and its numbers in words."""
    return [*facts_in(text), *word_facts_in(text)]


def keys_in(text: str) -> frozenset[str]:
    """Every reading of every fact in a source's text, with what follows from it: a date has a year and a month."""
    keys: set[str] = {_plain(value) for *_, value in numbers_in_words(text)}
    for fact in facts_in(text):
        keys.update(fact.keys)
        for key in fact.keys:
            if fact.kind == "percent":
                keys.add(key.rstrip("%"))
            elif fact.kind == "date":
                keys.update(parts_of_date(key))
    return frozenset(keys)


def is_year(text: str, fact: Fact) -> bool:
    """Whether a number is a year: 1730 in "since 1730", not in "1730 people"."""
    return bool(YEAR_NUMBER.fullmatch(text[fact.start : fact.end]) and BEFORE_YEAR.search(text[: fact.start]))


def _blank_name(match: re.Match[str]) -> str:
    """Spaces in place of a name with a number, like utf-8; what else it matches stays: mid-1990, Jan-2024."""
    return match[0] if match["name"].lower() in NOT_NAMES else " " * len(match[0])


def _figures_in(text: str) -> Iterator[Fact]:
    for match in FIGURE.finditer(text):
        before = text[max(0, match.start() - 20) : match.start()]
        readings, end = list(_readings(match["figure"])), match.end()
        power = MULTIPLIERS.get(match["times"].lower()) if match["times"] else None
        if match["short"] and CURRENCY_BEFORE.search(before):
            power = SHORT_MULTIPLIERS.get(match["short"].lower())
        if power and (multiplied := _times(readings, power)):
            readings = multiplied
        elif match["times"] or match["short"]:  # a unit, or a word with a letter that only ignoring case makes equal
            end = match.end("figure")
        kind: FactKind = "percent" if match["percent"] else "number"
        keys = tuple(f"{reading}%" if match["percent"] else reading for reading in readings)
        yield Fact(kind, match.start(), end, keys, ROUGHLY.search(before) is not None)


def _times(readings: list[str], power: int) -> list[str]:
    """Readings times a power of ten; none of a time of day or a version."""
    return [_plain(Decimal(reading).scaleb(power)) for reading in readings if reading.replace(".", "", 1).isdecimal()]


def _readings(figure: str) -> Iterator[str]:
    """What a figure may mean, the likeliest first: 1,500 is 1500, or with a decimal comma 1.5."""
    figure = re.sub(rf"[{SPACES}'’]", "", figure)
    marks = [c for c in figure if not c.isdigit()]
    groups = re.split(r"\D", figure)
    in_thousands = len(groups[0]) <= 3 and groups[0] != "0" and all(len(group) == 3 for group in groups[1:])
    if not marks:
        yield _plain(Decimal(figure))
    elif ":" in marks or (len(set(marks)) == 1 and len(marks) > 1 and not in_thousands):
        yield figure  # a time of day, or a version
    elif len(set(marks)) == 1:
        decimal = f"{groups[0]}.{groups[1]}" if len(marks) == 1 else ""
        thousands = "".join(groups) if in_thousands else ""
        readings = (thousands, decimal) if marks[0] == "," else (decimal, thousands)
        yield from (_plain(Decimal(reading)) for reading in readings if reading)
    elif len(set(marks[:-1])) == 1:
        yield _plain(Decimal("".join(groups[:-1]) + "." + groups[-1]))
    else:
        yield figure


def _plain(number: Decimal) -> str:
    return format(number.normalize(), "f")


def _is_near(key: str, other: str) -> bool:
    if key.endswith("%") != other.endswith("%"):
        return False
    try:
        ours, theirs = float(key.rstrip("%")), float(other.rstrip("%"))
    except ValueError:
        return False
    return abs(ours - theirs) <= ROUGHLY_WITHIN * max(abs(ours), abs(theirs))

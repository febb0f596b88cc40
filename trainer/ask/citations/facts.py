"""Numbers, percentages and dates in a text, normalised: 1,000 is 1000 and 1 000, and 3 May 2024 is 2024-05-03.

A fact has all the readings that its spelling allows, since 1.000 is one thing in English and another in German.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

FactKind = Literal["number", "percent", "date"]

MONTHS = "january february march april may june july august september october november december".split()
MONTH = r"(?P<month>Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|June?|July?|Aug(?:ust)?|Sept?(?:ember)?|Oct(?:ober)?|Nov(?:ember)?|Dec(?:ember)?)\b\.?"  # noqa: E501 - one alternative for each month
DAY, YEAR = r"(?P<day>[0-3]?\d)(?:st|nd|rd|th)?", r"(?P<year>[12]\d{3})(?!\d)"
DATES = [
    re.compile(pattern)
    for pattern in (
        r"(?<!\d)(?P<year>[12]\d{3})-(?P<number>[01]\d)-(?P<day>[0-3]\d)(?!\d)",
        rf"(?<!\d){DAY}\s+(?:of\s+)?{MONTH}(?:,?\s+{YEAR})?",
        rf"\b{MONTH}\s+{DAY}(?!\d)(?!,\d)(?:,?\s+{YEAR})?",
        rf"\b{MONTH},?\s+(?:of\s+)?{YEAR}",
    )
]
MULTIPLIERS = {"thousand": 3, "k": 3, "million": 6, "mn": 6, "billion": 9, "bn": 9, "trillion": 12}
SPACES = "\u00a0\u2009\u202f "
FIGURE = re.compile(
    rf"(?<![\w.])(?P<figure>\d{{1,3}}(?:[{SPACES}]\d{{3}})+(?![\d,.]\d|\d)|\d+(?:[.,'’:]\d+)*+)"
    r"(?:\s?(?P<percent>%|percent\b|per\s?cent\b)|[\s-]?(?P<times>thousand|million|billion|trillion|mn|bn|k)\b)?",
    re.IGNORECASE,
)
ROUGHLY = re.compile(
    r"(?:about|around|approximately|approx\.?|roughly|nearly|almost|over|more than|less than|under|some|circa|ca\.|~|≈)"
    r"\s*[$€£¥]?$",
    re.IGNORECASE,
)
ROUGHLY_WITHIN = 0.06
YEAR_NUMBER = re.compile(r"(?:1\d|20)\d\d")
BEFORE_YEAR = re.compile(r"(?:\b(?:in|since|from|until|before|after|year|by)|\()\s*$", re.IGNORECASE)
WORDS = "zero one two three four five six seven eight nine ten eleven twelve".split()
NUMBER_WORD = re.compile(rf"\b(?:{'|'.join(WORDS)})\b", re.IGNORECASE)


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
    dates = sorted(_dates_in(text), key=lambda fact: (fact.start, -fact.end))
    taken: list[Fact] = []
    for date in dates:
        if not taken or date.start >= taken[-1].end:
            taken.append(date)
    blanked = list(text)
    for date in taken:
        blanked[date.start : date.end] = " " * (date.end - date.start)
    return sorted([*taken, *_figures_in("".join(blanked))], key=lambda fact: fact.start)


def keys_in(text: str) -> frozenset[str]:
    """Every reading of every fact in a source's text, with what follows from it: a date has a year and a month."""
    keys: set[str] = {str(WORDS.index(word.lower())) for word in NUMBER_WORD.findall(text)}
    for fact in facts_in(text):
        keys.update(fact.keys)
        for key in fact.keys:
            if fact.kind == "percent":
                keys.add(key.rstrip("%"))
            elif fact.kind == "date":
                keys.update(_parts_of_date(key))
    return frozenset(keys)


def is_year(text: str, fact: Fact) -> bool:
    """Whether a number is a year: 1730 in "since 1730", not in "1730 people"."""
    return bool(YEAR_NUMBER.fullmatch(text[fact.start : fact.end]) and BEFORE_YEAR.search(text[: fact.start]))


def _dates_in(text: str) -> Iterator[Fact]:
    for pattern in DATES:
        for match in pattern.finditer(text):
            groups = match.groupdict()
            month = int(groups["number"]) if "number" in groups else _month(groups["month"])
            day = int(groups["day"]) if groups.get("day") else 0
            if day <= 31 and 1 <= month <= 12:
                key = f"{groups.get('year') or '-'}-{month:02}" + (f"-{day:02}" if day else "")
                yield Fact("date", *match.span(), (key,))


def _month(name: str) -> int:
    return next(n for n, month in enumerate(MONTHS, 1) if month.startswith(name[:3].lower()))


def _parts_of_date(key: str) -> set[str]:
    year, _, rest = key.lstrip("-").partition("-") if not key.startswith("--") else ("", "", key[2:])
    month, _, day = rest.partition("-")
    parts = {year, f"{year}-{month}", f"--{month}-{day}"} if year and day else {year} if year else set()
    return parts | ({str(int(day))} if day else set())


def _figures_in(text: str) -> Iterator[Fact]:
    for match in FIGURE.finditer(text):
        readings = list(_readings(match["figure"]))
        if match["times"]:
            power = MULTIPLIERS[match["times"].lower()]
            readings = [_plain(Decimal(reading).scaleb(power)) for reading in readings if ":" not in reading]
        kind: FactKind = "percent" if match["percent"] else "number"
        keys = tuple(f"{reading}%" if match["percent"] else reading for reading in readings)
        rough = ROUGHLY.search(text[max(0, match.start() - 20) : match.start()]) is not None
        yield Fact(kind, *match.span(), keys, rough)


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

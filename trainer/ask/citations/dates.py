"""Dates in a text, as keys like 2024-05-03, 2024-05 and, without a year, --05-03; languages are in `numbers.toml`."""

import re
from collections.abc import Iterator

from storage.data_files import read_toml

MONTHS = read_toml("trainer.ask.citations", "numbers.toml")["months"]
NUMBERS: dict[str, int] = {name: number for names in MONTHS.values() for number, name in enumerate(names.split(), 1)}
MONTH = rf"(?P<month>{'|'.join(sorted(NUMBERS, key=len, reverse=True))})\b\.?"
DAY, YEAR = r"(?P<day>[0-3]?\d)(?:st|nd|rd|th|er|\.|º)?", r"(?P<year>[12]\d{3})(?!\d)"
OF = r"(?:,?\s+(?:of\s+|de\s+|del\s+)?)"
DATES = [
    re.compile(pattern)
    for pattern in (
        r"(?<!\d)(?P<year>[12]\d{3})[-/.](?P<number>[01]?\d)[-/.](?P<day>[0-3]?\d)(?![\d.]\d|\d)",
        r"(?P<year>[12]\d{3})\s?年\s?(?P<number>[01]?\d)\s?月(?:\s?(?P<day>[0-3]?\d)\s?日)?",
        r"(?<!\d)(?P<number>[01]?\d)\s?月\s?(?P<day>[0-3]?\d)\s?日",
        rf"(?<!\d){DAY}\s+(?:of\s+|de\s+)?{MONTH}(?:{OF}{YEAR})?",
        rf"\b{MONTH}\s+{DAY}(?!\d)(?!,\d)(?:{OF}{YEAR})?",
        rf"\b{MONTH}{OF}{YEAR}",
        r"(?<![\d.])(?P<day>[0-3]?\d)\.\s?(?P<number>[01]?\d)\.\s?(?P<year>[12]\d{3})(?![\d.]\d|\d)",
        r"(?<![\d/])(?P<day>[0-3]?\d)/(?P<number>[0-3]?\d)/(?P<year>[12]\d{3})(?![\d/])",
    )
]
WITH_SLASHES = DATES[-1]  # whose day and month stand in either order


def dates_in(text: str) -> Iterator[tuple[int, int, tuple[str, ...]]]:
    """Where dates stand in a text, and their keys; they may overlap.

    >>> [keys for _, _, keys in dates_in("on 3 May 2024, am 3. Mai 2024 und 2024年5月3日")]
    [('2024-05-03',), ('2024-05-03',), ('2024-05-03',)]
    """
    for pattern in DATES:
        for match in pattern.finditer(text):
            groups = match.groupdict()
            month = int(groups.get("number") or NUMBERS.get(groups.get("month") or "", 0))
            day, year = int(groups.get("day") or 0), groups.get("year") or "-"
            orders = {(month, day), (day, month)} if pattern is WITH_SLASHES else {(month, day)}
            keys = tuple(_key(year, m, d) for m, d in sorted(orders) if 1 <= m <= 12 and d <= 31)
            if keys:
                yield *match.span(), keys


def parts_of_date(key: str) -> set[str]:
    """What follows from a date: its year, its month, its day in any year, and the number of its day."""
    year, _, rest = key.lstrip("-").partition("-") if not key.startswith("--") else ("", "", key[2:])
    month, _, day = rest.partition("-")
    parts = {year, f"{year}-{month}", f"--{month}-{day}"} if year and day else {year} if year else set()
    return parts | ({str(int(day))} if day else set())


def _key(year: str, month: int, day: int) -> str:
    return f"{year}-{month:02}" + (f"-{day:02}" if day else "")

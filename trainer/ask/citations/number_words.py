"""Numbers in words: forty-two, two and a half million, a dozen; zweiundvierzig, drei Millionen."""

import re
from collections.abc import Iterator
from decimal import Decimal

from storage.data_files import read_toml

_TABLE = read_toml("trainer.ask.citations", "numbers.toml")
ONES, TENS = _TABLE["english"]["ones"].split(), _TABLE["english"]["tens"].split()
SCALES = {word: 10**power for word, power in _TABLE["english"]["scales"].items()} | {"dozen": 12}
SMALL = {word: value for value, word in enumerate(ONES)} | {word: 10 * n for n, word in enumerate(TENS, 2)}
KNOWN = "|".join(sorted([*SMALL, *SCALES], key=len, reverse=True))
SCALE = "|".join(SCALES)
AND = rf"(?:{'|'.join(f'(?<={scale})' for scale in SCALES)})\s+and\s+"
ENGLISH = re.compile(
    rf"\b(?:half\s+an?\s+(?P<half>(?a:{SCALE}))|(?P<words>(?:a\s+(?={SCALE}))?(?a:{KNOWN})"
    rf"(?:(?:[\s-]+(?:point\s+)?|{AND})(?a:{KNOWN})|\s+and\s+a\s+half)*))\b",
    re.IGNORECASE,
)
BARE_SCALE = re.compile(SCALE, re.IGNORECASE)
COUNT_BEFORE = re.compile(r"(?:\d|\b(?:several|few|many|per))[\s-]*$", re.IGNORECASE)  # 5 million, several hundred
FRACTION = re.compile(  # two-thirds, zwei Drittel, but not two third-party …
    r"[\s-]+(?:(?:third|quarter|fifth|sixth|eighth|tenth)s?|drittel|viertel|fünftel|achtel|zehntel)\b(?!-)",
    re.IGNORECASE,
)


def _german(ones: list[str], tens: list[str]) -> dict[str, int]:
    """The German numbers below a thousand, which are single words."""
    below_100 = {word: value for value, word in enumerate(ones)}
    for count, word in enumerate(tens, 2):
        below_100[word] = 10 * count
        below_100 |= {f"{one}und{word}": 10 * count + value for value, one in enumerate(ones[1:10], 1)}
    hundreds = {f"{one}hundert": 100 * value for value, one in enumerate(["", *ones[2:10]], 1)}
    more = {f"{h}{word}": hundred + n for h, hundred in hundreds.items() for word, n in below_100.items() if n}
    return below_100 | hundreds | more


_GERMAN = _TABLE["german"]
GERMAN = _german(_GERMAN["ones"].split(), _GERMAN["tens"].split())
for _word in _GERMAN["not"].split():
    del GERMAN[_word]
GERMAN_SCALES: dict[str, int] = _GERMAN["scales"]
WORD = re.compile(rf"\b(?P<word>[a-zß-ÿ]+)(?:\s+(?P<scale>(?a:{'|'.join(GERMAN_SCALES)})))?\b", re.IGNORECASE)


def numbers_in_words(text: str) -> Iterator[tuple[int, int, Decimal]]:
    """Where numbers in words stand in a text, and which.

    >>> [int(value) for _, _, value in numbers_in_words("forty-two, half a million, one hundred and five, a dozen")]
    [42, 500000, 105, 12]
    """
    for match in ENGLISH.finditer(text):
        if not FRACTION.match(text, match.end()) and not _is_part_of_figure(text, match):
            yield from ((*match.span(), value) for value in _values(match))
    for match in WORD.finditer(text):
        value = GERMAN.get(match["word"].lower())
        if value is not None and not FRACTION.match(text, match.end()):
            yield *match.span(), Decimal(value * GERMAN_SCALES.get((match["scale"] or "").lower(), 1))


def _is_part_of_figure(text: str, match: re.Match[str]) -> bool:
    """Whether a match is only what another number counts in: the million of “5 million” and “several million”."""
    begins_with_scale = BARE_SCALE.match(match[0]) is not None
    return begins_with_scale and COUNT_BEFORE.search(text[max(0, match.start() - 12) : match.start()]) is not None


def _values(match: re.Match[str]) -> Iterator[Decimal]:
    if match["half"]:
        yield Decimal(SCALES[match["half"].lower()]) / 2
    else:
        yield from _of_words(re.findall(rf"{KNOWN}|half|point", match["words"].lower()))


def _of_words(words: list[str]) -> Iterator[Decimal]:
    """The values of English number words that stand side by side: mostly one, but two in “five six”."""
    total, group, last, place = Decimal(0), Decimal(0), 0, Decimal(0)
    for word in words:
        small = SMALL.get(word)
        if place and small is not None and small < 10:  # a digit after the decimal point
            group, place = group + small * place, place / 10
            continue
        place = Decimal("0.1") if word == "point" else Decimal(0)
        if small is not None and group and not _continues(group, small, last):
            yield total + group
            total, group = Decimal(0), Decimal(0)
        if word == "half":
            group += Decimal("0.5")
        elif word == "point":
            continue
        elif small is not None:
            group += small
        elif word == "hundred":
            group = (group or Decimal(1)) * 100
        else:
            total, group = total + (group or 1) * SCALES[word], Decimal(0)
        last = small if small is not None else 100
    yield total + group


def _continues(group: Decimal, small: int, last: int) -> bool:
    """Whether a word goes on with a number: two after forty, twenty after two hundred."""
    return not group % 100 if small >= 10 else not group % 10 and last >= 20

"""Numbers in words: forty-two, two and a half million, a dozen; zweiundvierzig, dreihundert."""

import re
from collections.abc import Iterator
from decimal import Decimal

from storage.data_files import read_toml

_TABLE = read_toml("trainer.ask.citations", "numbers.toml")
ONES, TENS = _TABLE["english"]["ones"].split(), _TABLE["english"]["tens"].split()
SCALES: dict[str, int] = _TABLE["english"]["scales"]
SMALL = {word: value for value, word in enumerate(ONES)} | {word: 10 * n for n, word in enumerate(TENS, 2)}
KNOWN = "|".join(sorted([*SMALL, *SCALES], key=len, reverse=True))
AND = rf"(?:{'|'.join(f'(?<={scale})' for scale in SCALES)})\s+and\s+"
ENGLISH = re.compile(
    rf"\b(?:(?P<half>half\s+an?)\s+(?P<scale>{'|'.join(SCALES)})|(?P<dozen>(?:a|one)\s+dozen)|"
    rf"(?P<words>(?:a\s+(?={'|'.join(SCALES)}))?(?:{KNOWN})(?:(?:[\s-]+|{AND})(?:{KNOWN})|\s+and\s+a\s+half)*))\b",
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
WORD = re.compile(r"[a-zß-ÿ]+")


def numbers_in_words(text: str) -> Iterator[tuple[int, int, Decimal]]:
    """Where numbers in words stand in a text, and which.

    >>> [int(value) for _, _, value in numbers_in_words("forty-two, half a million, one hundred and five, a dozen")]
    [42, 500000, 105, 12]
    """
    for match in ENGLISH.finditer(text):
        yield from ((*match.span(), value) for value in _values(match))
    for word in WORD.finditer(text.lower()):
        if word[0] in GERMAN:
            yield *word.span(), Decimal(GERMAN[word[0]])


def _values(match: re.Match[str]) -> Iterator[Decimal]:
    if match["dozen"]:
        yield Decimal(12)
    elif match["half"]:
        yield Decimal(10 ** SCALES[match["scale"].lower()]) / 2
    else:
        yield from _of_words(re.findall(rf"{KNOWN}|half", match["words"].lower()))


def _of_words(words: list[str]) -> Iterator[Decimal]:
    """The values of English number words that stand side by side: mostly one, but two in “five six”."""
    total, group, last = Decimal(0), Decimal(0), 0
    for word in words:
        small = SMALL.get(word)
        if small is not None and group and not _continues(group, small, last):
            yield total + group
            total, group = Decimal(0), Decimal(0)
        if word == "half":
            group += Decimal("0.5")
        elif small is not None:
            group += small
        elif word == "hundred":
            group = (group or Decimal(1)) * 100
        else:
            total, group = total + (group or 1) * 10 ** SCALES[word], Decimal(0)
        last = small if small is not None else 100
    yield total + group


def _continues(group: Decimal, small: int, last: int) -> bool:
    """Whether a word goes on with a number: two after forty, twenty after two hundred."""
    return not group % 100 if small >= 10 else not group % 10 and last >= 20

"""Units of measurement: what a number in a text measures, and how much that is in the unit that its kind goes by."""

import re
from dataclasses import dataclass
from functools import lru_cache

from storage.data_files import read_toml
from trainer.ask.citations.words import CJK, CJK_RANGES

POUND = "pound"  # of money in most texts, as pounds of mass go by lb where both occur


@dataclass(frozen=True)
class Quantity:
    """What a number measures. A dimension has a second word where its units have no fixed rate: `money €`."""

    dimension: str
    factor: float  # from its unit to the one that the dimension goes by
    end: int  # of the unit in the text

    @property
    def kind(self) -> str:
        """The dimension without its second word."""
        return self.dimension.partition(" ")[0]


def quantity_at(text: str, start: int, end: int) -> Quantity | None:
    """What the number at `start`…`end` measures by the unit beside it; None if it has none that is known.

    >>> quantity_at("a depth of 84 metres", 11, 13).dimension, quantity_at("for € 12", 6, 8).dimension
    ('length', 'money €')
    """
    units, pattern = _units()
    if before := CURRENCY_BEFORE.search(text[max(0, start - 5) : start]):
        known = units.get(before[1].lower())
    elif match := pattern.match(text, end):
        spelled = " ".join(match["unit"].lower().split()).replace("\u03bc", "\u00b5")  # the Greek mu is the micro sign
        known, end = units.get(spelled) or units.get(spelled.removesuffix("s")), match.end()
    else:
        return None
    # It is not known if it is spelled with another letter that only ignoring case makes equal.
    return Quantity(*known, end) if known else None


def dimension_of(word: str, letters_least: int = 3) -> str:
    """The dimension of a unit by its name: metres measure a length; empty for any other word, and for short ones."""
    units, _ = _units()
    known = units.get(word.lower()) or units.get(word.lower().removesuffix("s"))
    return known[0].partition(" ")[0] if known and len(word) >= letters_least else ""


@lru_cache(maxsize=1)
def _units() -> tuple[dict[str, tuple[str, float]], re.Pattern[str]]:
    """Units by their spelling, and the pattern of one that follows a number."""
    table = read_toml("trainer.ask.citations", "units.toml")
    units: dict[str, tuple[str, float]] = {}
    for dimension, factors in table["units"].items():
        for factor, spellings in factors.items():
            units |= {spelled.replace("_", " "): (dimension, float(factor)) for spelled in spellings.split()}
    for spellings in table["currencies"]:
        units |= {spelled: (f"money {spellings.split()[0]}", 1.0) for spelled in spellings.split()}
    units[POUND] = ("money £", 1.0)
    longest_first = [re.escape(each).replace(r"\ ", r"\s+") for each in sorted(units, key=len, reverse=True)]
    spaced = "|".join(each for each in longest_first if not CJK.match(each))
    unspaced = "|".join(each for each in longest_first if CJK.match(each))
    unit = rf"(?:{spaced})s?(?![\w²³])|(?:{spaced})(?=[{CJK_RANGES}])|{unspaced}"
    return units, re.compile(rf"[\s -]?(?:(?:US|full|whole)\s)?(?P<unit>{unit})", re.IGNORECASE)


CURRENCY_BEFORE = re.compile(r"(?<![A-Za-z])(US\$|[€$£¥₹₽₩]|EUR|USD|GBP|CHF|JPY)\s?$", re.IGNORECASE)

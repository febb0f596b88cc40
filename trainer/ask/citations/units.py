"""Units of measurement: what a number in a text measures, and how much that is in the unit that its kind goes by.

Factors are exact by definition (SI brochure, international yard and pound), but for calendar months and years.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

UNITS: Mapping[str, Mapping[float, str]] = {  # dimension → factor → spellings; a final s is optional
    "length": {
        1: "m metre meter", 1000: "km kilometre kilometer", 0.01: "cm centimetre centimeter",
        0.001: "mm millimetre millimeter", 1e-6: "µm micrometre micrometer micron", 1609.344: "mi mile",
        0.3048: "ft foot feet", 0.0254: "inch inches", 0.9144: "yd yard", 1852: "nmi nautical_mile",
        9.4607e15: "light-year light_year",
    },
    "area": {
        1: "m² m2 sqm square_metre square_meter", 1e6: "km² km2 square_kilometre square_kilometer",
        1e4: "ha hectare", 4046.856: "acre", 0.0929: "sq_ft square_foot square_feet", 2589988.0: "square_mile",
    },
    "volume": {
        1: "l litre liter", 0.001: "ml millilitre milliliter", 100: "hl hectolitre hectoliter",
        1000: "m³ m3 cubic_metre cubic_meter", 1e12: "km³ km3 cubic_kilometre cubic_kilometer", 3.785: "gallon",
        0.5683: "pint", 158.987: "barrel",
    },
    "mass": {
        1: "kg kilogram kilogramme kilo", 0.001: "g gram gramme", 1e-6: "mg milligram", 1e-9: "µg mcg microgram",
        1000: "t tonne metric_ton", 907.185: "ton", 0.45359: "lb lbs", 0.02835: "oz ounce",
    },
    "duration": {
        1: "s sec second", 0.001: "ms millisecond", 60: "min minute", 3600: "h hr hour", 86400: "day night",
        604800: "week", 2629800: "month", 31557600: "yr year", 3155760000: "century centuries", 315576000: "decade",
    },
    "speed": {
        1: "m/s metres_per_second meters_per_second", 0.27778: "km/h kph kmh kilometres_per_hour kilometers_per_hour "
        "kilometres_an_hour kilometers_an_hour", 0.44704: "mph miles_per_hour miles_an_hour", 0.51444: "knot kn kt",
    },
    "temperature": {1: "°c celsius degree degrees_celsius °"},
    "temperature F": {1: "°f fahrenheit degrees_fahrenheit"},
    "temperature K": {1: "kelvin"},
    "power": {
        1: "w watt", 1000: "kw kilowatt", 1e6: "mw megawatt", 1e9: "gw gigawatt", 745.7: "hp horsepower",
    },
    "energy": {
        1: "joule", 3.6e6: "kwh kilowatt-hour kilowatt_hour", 3.6e9: "mwh megawatt-hour megawatt_hour",
        3.6e12: "gwh gigawatt-hour gigawatt_hour", 4184: "kcal kilocalorie calorie", 1000: "kj kilojoule",
    },
    "charge": {1: "mah", 1000: "ah"},
    "data": {
        1: "byte", 1e3: "kb kilobyte", 1e6: "mb megabyte", 1e9: "gb gigabyte", 1e12: "tb terabyte",
        1.048576e6: "mib", 1.073741824e9: "gib",
    },
    "frequency": {1: "hz hertz", 1e3: "khz kilohertz", 1e6: "mhz megahertz", 1e9: "ghz gigahertz"},
    "voltage": {1: "v volt", 1000: "kv kilovolt"},
}  # fmt: skip
CURRENCIES = (
    "€ eur euro", "$ usd us$ dollar", "£ gbp sterling", "¥ jpy yen", "chf franc", "crown krona krone kronor kroner sek "
    "nok dkk czk", "zł pln zloty", "rupee inr ₹", "yuan cny renminbi", "rouble ruble rub ₽", "won krw ₩", "peso",
    "cent", "penny pence",
)  # fmt: skip
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
        dimension, factor = units[before[1].lower()]
        return Quantity(dimension, factor, end)
    match = pattern.match(text, end)
    if not match:
        return None
    spelled = " ".join(match["unit"].lower().split()).replace("\u03bc", "\u00b5")  # the Greek mu is the micro sign
    known = units.get(spelled) or units.get(spelled.removesuffix("s"))
    if not known:  # spelled with another letter that only ignoring case makes equal
        return None
    dimension, factor = known
    return Quantity(dimension, factor, match.end())


def dimension_of(word: str) -> str:
    """The dimension of a unit by its name in words: metres measure a length; empty for any other word."""
    units, _ = _units()
    known = units.get(word.lower()) or units.get(word.lower().removesuffix("s"))
    return known[0].partition(" ")[0] if known and len(word) > 2 else ""


@lru_cache(maxsize=1)
def _units() -> tuple[dict[str, tuple[str, float]], re.Pattern[str]]:
    """Units by their spelling, and the pattern of one that follows a number."""
    units: dict[str, tuple[str, float]] = {}
    for dimension, factors in UNITS.items():
        for factor, spellings in factors.items():
            units |= {spelled.replace("_", " "): (dimension, factor) for spelled in spellings.split()}
    for spellings in CURRENCIES:
        units |= {spelled: (f"money {spellings.split()[0]}", 1.0) for spelled in spellings.split()}
    units[POUND] = ("money £", 1.0)
    longest_first = sorted(units, key=len, reverse=True)
    spelled = "|".join(re.escape(each).replace(r"\ ", r"\s+") for each in longest_first)
    return units, re.compile(rf"[\s -]?(?:(?:US|full|whole)\s)?(?P<unit>(?:{spelled})s?)(?![\w²³])", re.IGNORECASE)


CURRENCY_BEFORE = re.compile(r"(?<![A-Za-z])(US\$|[€$£¥₹₽₩]|EUR|USD|GBP|CHF|JPY)\s?$", re.IGNORECASE)

"""Units of measurement beside numbers."""

import pytest

from trainer.ask.citations.facts import facts_in
from trainer.ask.citations.units import dimension_of, quantity_at


@pytest.mark.parametrize(
    ("text", "dimension", "in_base_unit"),
    [
        ("a depth of 84 metres", "length", 84),
        ("1,200m long", "length", 1200),
        ("8.1 km away", "length", 8100),
        ("31.5 square kilometres", "area", 31.5e6),
        ("2 m² of cloth", "area", 2),
        ("13.5 kilowatt-hours", "energy", 13.5 * 3.6e6),
        ("45 kilometres per hour", "speed", 12.5),
        ("25 °C", "temperature", 25),
        ("84 million euros", "money €", 84e6),
        ("only $649", "money $", 649),
        ("CHF 20", "money chf", 20),
        ("90 minutes", "duration", 5400),
        ("40 mg daily", "mass", 4e-5),
        ("70 \u00b5m thick", "length", 7e-5),
        ("70 \u03bcm thick", "length", 7e-5),  # the Greek letter, which most texts have
    ],
)
def test_a_number_measures_what_its_unit_does(text: str, dimension: str, in_base_unit: float) -> None:
    (fact,) = facts_in(text)
    quantity = quantity_at(text, fact.start, fact.end)
    assert quantity and quantity.dimension == dimension
    assert float(fact.keys[0]) * quantity.factor == pytest.approx(in_base_unit, rel=1e-3)


@pytest.mark.parametrize("text", ["40 dogs", "12 monks", "3 mice", "7 ideas", "1984", "5 storeys"])
def test_other_words_are_no_units(text: str) -> None:
    (fact,) = facts_in(text)
    assert quantity_at(text, fact.start, fact.end) is None


def test_a_unit_has_a_dimension() -> None:
    assert (dimension_of("minutes"), dimension_of("Euro"), dimension_of("dogs")) == ("duration", "money", "")


def test_a_currency_in_letters_that_only_ignoring_case_makes_equal_is_none() -> None:
    assert quantity_at("U\u017fD 20", 4, 6) is None

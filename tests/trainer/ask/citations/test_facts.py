"""Numbers, dates and quantities are the same however they are written."""

import pytest

from storage.contract.ask import Source
from trainer.ask.citations.facts import facts_in, keys_in
from trainer.ask.citations.support import IndexedSource, SupportChecker

PAGE = (
    "The canal is 42 km long and was opened on 14 March 2006. It cost 1,500,000 euros and was dug by forty-two men. "
    "Der Turm ist 700 m hoch und kostete 2,5 Mio. Franken. 源泉の温度は58度で、開湯は1623年5月3日です。"
)


@pytest.mark.parametrize(
    ("claim", "is_known"),
    [
        ("It cost 1.5 million euros", True),
        ("Es kostete 1,5 Millionen Euro", True),
        ("It cost €1.5m", True),
        ("It cost 1.6 million euros", False),
        ("It was dug by 42 men", True),
        ("It was dug by 43 men", False),
        ("Eröffnet am 14. März 2006", True),
        ("Opened on 03/14/2006, or 14.03.2006", True),
        ("Inauguré le 14 mars 2006", True),
        ("2006年3月14日に開通した", True),
        ("It was opened on 15 March 2006", False),
        ("It is 26 miles long", True),
        ("It is 27 miles long", False),
        ("It is 42,000 metres long", True),
        ("It is 43 km long", False),
        ("The tower is 2,300 feet high", True),
        ("The tower is 2,400 feet high", False),
        ("It cost 2.5 million francs", True),
        ("The water has 58 °C", True),
        ("Since 3 May 1623", True),
    ],
)
def test_a_claim_is_found_in_a_source_in_other_words(claim: str, is_known: bool) -> None:
    checker = SupportChecker([IndexedSource.of(Source(id="a", url="https://a.test"), PAGE)])
    assert checker.is_known(claim) is is_known


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("150万人", ["1500000"]), ("大人700円", ["700"]), ("in 1623年", ["1623"]), ("5 m of cloth", ["5"]),
        ("$3bn and £1.2m", ["3000000000", "1200000"]), ("under the MPL-2.0 licence", []), ("v3.1", []),
        ("on 1/2/2024", ["2024-01-02"]), ("5,4 Prozent", ["5.4%"]), ("le 1er mai 2020", ["2020-05-01"]),
        ("Open 9am-5pm", ["9", "5"]), ("9 AM-5 PM", ["9", "5"]), ("10:00am-6:00pm", ["10:00", "6:00"]),
        ("the 18th-19th century", ["18", "19"]), ("10km-15km away", ["10", "15"]), ("in mid-1990", ["1990"]),
        ("in Jan-2024", ["2024"]), ("COVID-19 and Covid-19", []), ("utf-8 and covid-19", []),
        ("GPT-4 of 200 people", ["200"]),
        ("5 thou\u017fand", ["5"]), ("10 tau\u017fend", ["10"]), ("1.2.3 million", ["1.2.3"]), ("at 5:30 k", ["5:30"]),
    ],
)  # fmt: skip
def test_the_likeliest_reading_of_a_figure(text: str, keys: list[str]) -> None:
    assert [fact.keys[0] for fact in facts_in(text)] == keys


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("5 million people", {"5000000"}), ("a 5-million town", {"5000000"}), ("several million people", set()),
        ("a million people", {"1000000"}), ("half a dozen", {"6"}), ("two dozen eggs", {"24"}), ("a dozen", {"12"}),
        ("two point five million", {"2500000"}), ("two-thirds of Elm", set()), ("two and a half million", {"2500000"}),
        ("drei Millionen", {"3000000"}), ("zwei Dutzend", {"24"}), ("zwei Drittel", set()), ("dreihundert", {"300"}),
        ("half a m\u0131ll\u0131on", set()), ("\u0130 forty-two", {"42"}),
    ],
)  # fmt: skip
def test_numbers_in_words(text: str, keys: set[str]) -> None:
    assert keys_in(text) == keys


def test_the_unit_of_a_number_is_no_number() -> None:
    checker = SupportChecker([IndexedSource.of(Source(id="a", url="https://a.test"), "5 million people live in Elm.")])
    assert checker.is_known("5 million people live in Elm.")
    assert not checker.is_known("1 million people live in Elm.")


@pytest.mark.parametrize(
    ("source", "claim", "is_known"),
    [
        ("It took 18 months.", "It took 2 years.", False),
        ("It took 24 months.", "It took 2 years.", True),
        ("It weighs 500 g.", "It weighs 1 kg.", False),
        ("It is 900 m away.", "It is 1 mile away.", False),
        ("It is 1.6 km away.", "It is 1 mile away.", True),
    ],
)
def test_a_converted_quantity_is_rounded_by_little(source: str, claim: str, is_known: bool) -> None:
    checker = SupportChecker([IndexedSource.of(Source(id="a", url="https://a.test"), source)])
    assert checker.is_known(claim) is is_known

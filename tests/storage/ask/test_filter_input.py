"""Filters as people type them: what is taken, and the sentence for what is not."""

from contextlib import suppress
from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.ask.domain_rules import admits
from storage.ask.filter_input import read_date, read_filters
from storage.contract.ask import AskFilters, Source
from storage.errors import UserError
from trainer.ask.filters import admits_date, admits_days, admits_language, first_day


def test_filters_are_read_as_people_write_them() -> None:
    filters = read_filters(
        domains="python.org, -Wiki.Python.org https://github.com/python/", recency="Week", after="2026-01-31",
        before="06/01/2026", mode="academic", size="high", language="de, pt-BR",
    )  # fmt: skip
    assert filters == AskFilters(
        mode="academic", allowed_domains=("python.org", "github.com/python"), denied_domains=("wiki.python.org",),
        recency="week", after=date(2026, 1, 31), before=date(2026, 6, 1), languages=("de", "pt"), size="high",
    )  # fmt: skip
    assert read_filters() == AskFilters()
    assert AskFilters.model_validate_json(filters.model_dump_json()) == filters


def test_a_record_as_the_first_version_wrote_it_is_read() -> None:
    old = '{"mode":"web","denied_domains":["a.example"],"recency":"day","after":"2026-01-02","of_a_newer_version":1}'
    filters = AskFilters.model_validate_json(old)
    assert (filters.denied_domains, filters.after) == (("a.example",), date(2026, 1, 2))
    assert Source.model_validate_json('{"id":"a","url":"http://a.example/","kind":"video"}').kind == "video"


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"domains": [f"{k}.example" for k in range(21)]}, "at most 20 domains; these are 21"),
        ({"domains": "a.example -a.example"}, "a.example cannot be both allowed and denied"),
        ({"domains": "a.example/ -www.a.example"}, "cannot be both allowed and denied"),
        ({"domains": "nonsense!"}, "is not a domain"),
        ({"after": "31.2.2026"}, "`after` is a day, like 2026-05-31"),
        ({"before": "2026-02-31"}, "`before` is “2026-02-31”, but there is no such day"),
        ({"after": "2026-02-02", "before": "2026-02-01"}, "Nothing is both after 2026-02-02 and before 2026-02-01"),
        ({"recency": "decade"}, "`recency` is one of hour, day, week, month and year"),
        ({"mode": "images"}, "`mode` is one of web, academic and documents"),
        ({"size": "xl"}, "`size` is one of low, medium and high"),
        ({"language": "german"}, "is not a language code"),
        ({"language": "aa ab ac ad ae af ag ah ai aj ak"}, "at most 10 languages"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(given: dict[str, str], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence.replace("(", r"\(")) as raised:
        read_filters(**given)
    assert str(raised.value)[0].isupper() or str(raised.value)[0] in "“`" or "a.example" in str(raised.value)


@given(st.text(max_size=30))
def test_any_text_is_a_day_or_refused(text: str) -> None:
    with suppress(UserError):
        assert (read_date(text, "after") is None) == (not text.strip())


def test_dates_are_enforced_on_what_came_back() -> None:
    now = datetime(2026, 6, 15, 12, tzinfo=UTC)
    week = AskFilters(recency="week", after=date(2026, 1, 1))
    assert first_day(week, now) == date(2026, 6, 8)
    assert [admits_date(week, day, now) for day in (date(2026, 6, 8), date(2026, 6, 7), None)] == [True, False, False]
    assert admits_date(AskFilters(), None) and not admits_date(AskFilters(before=date(2026, 1, 1)), date(2026, 1, 1))
    assert admits_language(AskFilters(languages=("de",)), "de-AT") and not admits_language(
        AskFilters(languages=("de",)), "en"
    )
    source = Source(id="a", url="http://a.example/", updated=date(2026, 6, 10))
    assert admits_days(week, source, now) and admits(week, source.url)
    assert not admits(AskFilters(denied_domains=("a.example",)), source.url)

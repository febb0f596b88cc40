"""Long answers in several messages: no link, marker or code block is broken."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.delivery.citations import split_message
from tests.support.quick import examples

LINKS = ["[[1]](<https://a.example/page>)", "<https://b.example/x|[2]>", "[text](https://c.example/y)", "[1][2]", "[3]"]
WORDS = ["The harbour museum has rooms.", "It opened in May;", "and\n\nthen", "a\nb", "déjà vu 🐶", *LINKS]


@settings(deadline=None, max_examples=examples(100))
@given(st.lists(st.sampled_from(WORDS), max_size=80).map(" ".join), st.sampled_from([100, 200, 500]))
def test_links_and_markers_stay_whole_and_nothing_is_lost(text: str, limit: int) -> None:
    messages = split_message(text, limit)
    assert all(len(message) <= limit for message in messages)
    assert re.sub(r"\s", "", "".join(messages)) == re.sub(r"\s", "", text)
    for link in LINKS[:4]:
        assert sum(message.count(link) for message in messages) == text.count(link)


@pytest.mark.parametrize("limit", [2000, 3000])
def test_a_link_at_the_limit_goes_to_the_next_message(limit: int) -> None:
    link = "[[12]](<https://a.example/page>)"
    text = "x" * (limit - 5) + link + " end"
    first, second = split_message(text, limit)
    assert first == "x" * (limit - 5) and second == f"{link} end"


def test_a_code_block_is_closed_and_opened_again() -> None:
    text = "Before\n```python\n" + "print(a[0])\n" * 30 + "```\nAfter [1]."
    messages = split_message(text, 150)
    assert all(message.count("```") % 2 == 0 and len(message) <= 150 for message in messages)
    assert all(message.startswith("```python\n") for message in messages[1:-1])
    assert sum(message.count("print(a[0])") for message in messages) == 30


def test_short_text_is_one_message_and_none_an_empty_one() -> None:
    assert split_message("Hello [1].", 2000) == ["Hello [1]."]
    assert split_message("", 2000) == [""]


def test_what_has_no_break_is_cut_between_characters() -> None:
    messages = split_message("👩\u200d🚀" * 200, 100)
    assert "".join(messages) == "👩\u200d🚀" * 200 and not any(message.startswith("\u200d") for message in messages)


@pytest.mark.parametrize("unclosed", ["[x](" + "<>" * 2000, "[x](" + "<a" * 2000, "[x](" + "(a)" * 2000])
def test_a_title_made_to_look_like_a_link_without_end_costs_no_time(unclosed: str) -> None:
    assert "".join(split_message(unclosed, 1940)) == unclosed


def test_a_long_line_that_opens_a_code_block_is_not_repeated() -> None:
    messages = split_message("```" + "a" * 1900 + "\n" + "code\n" * 600 + "```", 1940)
    assert len(messages) < 6 and all(len(message) <= 1940 for message in messages)

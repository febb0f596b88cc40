"""Markers become links in each platform's markup."""

import pytest

from bot.delivery.citations.links import Markup, link_markers, linked_text
from storage.contract.ask import Answer, Citation, Source

URL = "https://a.example/x_(1)?q=a|b"
ANSWER = Answer(
    text="It has [1] rooms in `x[1]` [1][2].",
    citations=tuple(Citation(start=s, end=s + 3, source_id=i, number=n) for s, i, n in [(27, "a", 1), (30, "doc", 2)]),
    sources=(Source(id="a", url=URL), Source(id="doc", url="document:guide.md")),
    numbers={"a": 1, "doc": 2},
)


@pytest.mark.parametrize(
    ("markup", "linked"),
    [
        ("discord", "[[1]](<https://a.example/x_%281%29?q=a%7Cb>)[2]"),
        ("slack", "<https://a.example/x_%281%29?q=a%7Cb|[1]>[2]"),
        ("markdown", r"[\[1\]](https://a.example/x_%281%29?q=a%7Cb)[2]"),
        ("plain", "[1][2]"),
    ],
)
def test_only_citations_are_links(markup: Markup, linked: str) -> None:
    assert linked_text(ANSWER, markup) == f"It has [1] rooms in `x[1]` {linked}."


def test_text_between_links_is_escaped() -> None:
    answer = Answer(
        text="a < b [1]", citations=(Citation(start=6, end=9, source_id="a", number=1),), sources=ANSWER.sources
    )
    escaped = linked_text(answer, "slack", lambda text: text.replace("<", "&lt;"))
    assert escaped == "a &lt; b <https://a.example/x_%281%29?q=a%7Cb|[1]>"


def test_text_that_is_still_coming_links_numbers_that_are_known() -> None:
    assert link_markers("a [1] b [7]", {1: "https://a.example"}, "discord") == "a [[1]](<https://a.example>) b [7]"

"""Markers become links in each platform's markup."""

import pytest

from bot.core.messages import TextLink
from bot.delivery.citations import Markup, marked_up

URL = "https://a.example/x_(1)?q=a|b"
TEXT = "It has [1] rooms in `x[1]` [1][2]."
LINKS = (TextLink(start=27, end=30, url=URL), TextLink(start=30, end=33, url="document:guide.md"))


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
    assert marked_up(TEXT, LINKS, markup) == f"It has [1] rooms in `x[1]` {linked}."


def test_text_between_links_is_escaped() -> None:
    links = [TextLink(start=6, end=9, url=URL)]
    escaped = marked_up("a < b [1]", links, "slack", lambda text: text.replace("<", "&lt;"))
    assert escaped == "a &lt; b <https://a.example/x_%281%29?q=a%7Cb|[1]>"

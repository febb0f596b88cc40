"""The list of sources that a model writes below its answer is left out, however the text is cut."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.quick import examples
from trainer.ask.citations.bibliography import BibliographyFilter

LINES = [
    "A claim [1].", "", "Sources:", "**References**", "- [X](https://x.example)", "[1] X https://x.example",
    "[^1]: a note", "1. X", "Sources say so.", "So it is.", "[2] says so", "# Quellen", "**bold** text",
]  # fmt: skip


def filtered(text: str) -> str:
    each = BibliographyFilter()
    return each.feed(text) + each.finish()


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ("A [1].\n\nSources:\n[1] X - https://x\n[2] Y\n", "A [1]."),
        ("A.\n\n**References**\n- [X](https://x)\n\nMore.", "A.\n\nMore."),
        ("A [^1].\n\n[^1]: X, https://x", "A [^1]."),
        ("A.\n[1] https://made-up.example/1\nB", "A.\nB"),
        ("Sources say so.\nSources:\nProse follows.", "Sources say so.\nSources:\nProse follows."),
        ("Facts:\n- 40 rooms [1]\n- 2 lifts [2]", "Facts:\n- 40 rooms [1]\n- 2 lifts [2]"),
        ("[1] says so.\n\n", "[1] says so."),
        ("## Sources\n", ""),
    ],
)
def test_a_list_of_sources_is_left_out(sent: str, shown: str) -> None:
    assert filtered(sent) == shown


@settings(deadline=None, max_examples=examples(150))
@given(st.lists(st.sampled_from(LINES) | st.text(max_size=5), max_size=8).map("\n".join), st.integers(1, 9))
def test_any_split_gives_the_same_text(text: str, size: int) -> None:
    split = BibliographyFilter()
    assert "".join(split.feed(text[k : k + size]) for k in range(0, len(text), size)) + split.finish() == filtered(text)


def test_a_line_that_is_no_entry_is_shown_as_it_comes() -> None:
    each = BibliographyFilter()
    assert each.feed("So") == "" and each.feed("me") == "Some" and each.feed(" text [1]") == " text [1]"

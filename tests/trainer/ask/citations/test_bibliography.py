"""The list of sources that a model writes below its answer is left out, however the text is cut."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.quick import examples
from trainer.ask.citations.bibliography import BibliographyFilter

LINES = [
    "A claim [1].", "", "Sources:", "**References**", "- [X](https://x.example)", "[1] X https://x.example",
    "[^1]: a note", "1. X", "Sources say so.", "So it is.", "[2] says so", "# Quellen", "**bold** text", "```", "~~~~",
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
        ("```yaml\nsources:\n- [1] https://x\n```\nSources:\n- X", "```yaml\nsources:\n- [1] https://x\n```"),
        (
            "[1](https://x) says so.\n[2] is at https://y for all.",
            "[1](https://x) says so.\n[2] is at https://y for all.",
        ),
        ("[1]: https://x (X)\n- [2] Y <https://y>\nA", "A"),
        ("Sources:\n" + "a" * 1001, "Sources:\n" + "a" * 1001),
    ],
)
def test_a_list_of_sources_is_left_out(sent: str, shown: str) -> None:
    assert filtered(sent) == shown


@pytest.mark.parametrize("question", ["What are the sources of the Breg?", "Welche Quellen hat die Donau?", "出典は?"])
def test_a_list_that_was_asked_for_is_shown(question: str) -> None:
    each = BibliographyFilter(question)
    assert (
        each.feed("Sources:\n- A spring [1]\n- A bog [2]\n\n[1] https://x") == "Sources:\n- A spring [1]\n- A bog [2]"
    )
    assert each.finish() == ""


def test_many_line_breaks_take_linear_time() -> None:
    each, begin_s = BibliographyFilter(), time.process_time()
    assert each.feed("a" + "\n" * 200_000) + each.feed("b") + each.finish() == "a" + "\n" * 200_000 + "b"
    assert time.process_time() - begin_s < 20  # seconds; it took minutes when each break copied those before it


@settings(deadline=None, max_examples=examples(150))
@given(st.lists(st.sampled_from(LINES) | st.text(max_size=5), max_size=8).map("\n".join), st.integers(1, 9))
def test_any_split_gives_the_same_text(text: str, size: int) -> None:
    split = BibliographyFilter()
    assert "".join(split.feed(text[k : k + size]) for k in range(0, len(text), size)) + split.finish() == filtered(text)


def test_a_line_that_is_no_entry_is_shown_as_it_comes() -> None:
    each = BibliographyFilter()
    assert each.feed("So") == "" and each.feed("me") == "Some" and each.feed(" text [1]") == " text [1]"

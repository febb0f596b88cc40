"""The citation processor: any split of a stream gives the same text and spans, and no bracket is left hanging."""

import re
import time
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from storage.contract.ask import Source
from tests.support.quick import examples, slow_but
from trainer.ask.citations.numbering import Numbering
from trainer.ask.citations.processor import UNSUPPORTED, CitationProcessor
from trainer.ask.citations.support import IndexedSource, SupportChecker

TEXTS = {
    "bridge": "The old bridge over the river is 1,200 metres long. It was opened on 3 May 1999.",
    "museum": "The museum has 40 rooms and opened in 2001. “Every room tells the story of one ship,” its guide says.",
    "tickets": "Tickets for the museum cost 12 euros. 35 % of its visitors are children.",
}
LABELS = dict(enumerate(TEXTS, 1))
PIECES = [
    "The museum has 40 rooms", "the old bridge is 1 200 m long", "opened in May 1999", "it has 41 rooms",
    "déjà vu 🐶 東京",
    "[1]", "[2]", "[1][2]", "[1, 2]", "[1-3]", "【1】", "【2†source】", "［３］", "[[1]]", "[[1], [2]]", "[9]",
    "[Source 2]",
    "[", "[1", "]", "(", ")", "`", "```\n", "`a[0]`", "[text](https://a.example/x_(1))", "[1](https://b.example)",
    "[^1]",
    "(1 and 2)", "(see sources 1, 2)", "⁽¹⁾", "⁻¹", ",",
    "(1)", "(1).", "(Source 2)", "¹", "²", "word", "<sup>1</sup>", "<cite>", "<", "<answer>", "(see",
    "[a note]", "[see [1] too]", "\\[2\\]", "\\", ".", ". ", " ", "\n", "\n\n", "e.g. 5", "! ", "- ", "1. ",
]  # fmt: skip
streams = st.lists(st.sampled_from(PIECES) | st.text(max_size=5), max_size=25).map("".join)


def checker() -> SupportChecker:
    return SupportChecker(
        [IndexedSource.of(Source(id=id_, url=f"https://{id_}.example"), text) for id_, text in TEXTS.items()]
    )


def processed(text: str, numbering: Numbering | None = None) -> CitationProcessor:
    processor = CitationProcessor(LABELS, numbering, checker())
    assert processor.feed(text) + processor.finish() == processor.text
    return processor


def plain(text: str) -> str:
    """What is shown of a text with sources that need no check."""
    processor = CitationProcessor(LABELS)
    return processor.feed(text) + processor.finish()


@settings(deadline=None, max_examples=examples(150))
@given(streams, st.data())
def test_any_split_gives_the_same_text_and_spans(text: str, data: st.DataObject) -> None:
    whole = processed(text)
    encoded = text.encode("utf-8", "replace")
    if encoded.decode() != text:
        return
    cuts = sorted(data.draw(st.lists(st.integers(0, len(encoded)), max_size=30)))
    split = CitationProcessor(LABELS, None, checker())
    shown = "".join(split.feed(encoded[a:b]) for a, b in pairwise([0, *cuts, len(encoded)])) + split.finish()
    assert (shown, split.citations, split.unsupported) == (whole.text, whole.citations, whole.unsupported)


@settings(deadline=None, max_examples=examples(150))
@given(streams)
@example("\\[text](https://a.example/x_(1))")
def test_what_is_shown_never_ends_in_an_open_bracket(text: str) -> None:
    text = text.replace("`", "")  # code is shown as it is
    processor = CitationProcessor(LABELS, None, checker())
    for character in text:
        processor.feed(character)
        assert unclosed(processor.text) == 0
    processor.finish()
    assert unclosed(processor.text) == 0


@pytest.mark.parametrize("link", ["[text]({})", "\\[text\\]({})", "【text】({})", "［text］({})", "[text】({})"])
def test_links_in_any_brackets_are_links(link: str) -> None:
    assert processed(link.format("https://other.example")).text == "text"
    assert processed(link.format("https://museum.example")).text == "text [1]"
    assert plain(link.format("https://other.example")) == "[text](https://other.example)"


def unclosed(text: str) -> int:
    depth = 0
    for character in text:
        depth = depth + 1 if character in "[【［" else max(0, depth - 1) if character in "]】］" else depth
    return depth


@settings(deadline=None, max_examples=examples(150))
@given(streams)
def test_spans_are_markers_of_sources_in_order_of_first_use(text: str) -> None:
    processor = processed(text)
    numbers = [citation.number for citation in processor.citations]
    assert list(dict.fromkeys(numbers)) == list(range(1, len(set(numbers)) + 1))
    for citation in processor.citations:
        assert processor.text[citation.start : citation.end] == f"[{citation.number}]"
        assert citation.source_id in TEXTS


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ("a [2][1].", "a [1][2]."),
        ("a [2, 1] b", "a [1][2] b"),
        ("a [1-3]", "a [1][2][3]"),
        ("a【1】", "a[1]"),
        ("a 【1†source】", "a [1]"),
        ("a 【4:0†source】【2:1†x】", "a [1]"),
        ("a ［１］", "a [1]"),
        ("a [[3]] [[1][2]] [[1], [2]]", "a [1] [2][3] [2][3]".replace(" [2][3] [2][3]", "[2][3]")),
        ("a [Source 2] and [ref. x]", "a [1] and [ref. x]"),
        ("a [9]. b", "a. b"),
        ("a [9, 1].", "a [1]."),
        ("[9] a", "a"),
        ("a [2", "a [1]"),
        ("a [2. Next [1]", "a [1]. Next [2]"),
        ("a [b", "a b"),
        ("a [0, 1]", "a [1]"),
        ("`x[1]` [1]", "`x[1]` [1]"),
        ("```\nx[1]\n```\n[1]", "```\nx[1]\n```\n[1]"),
        ("~~~\n[1]", "~~~\n[1]\n~~~"),
        ("` [2]", "` [1]"),
        ("[docs](https://a.example/[1]) [1]", "[docs](https://a.example/[1]) [1]"),
        ("![alt](x.png)", "![alt](x.png)"),
        ("[2](https://made.up.example/x)", "[1]"),
        ("[2] (2019)", "[1] (2019)"),
        ("x[^2].", "x[1]."),
        ("x (2).", "x [1]."),
        ("x (2) y", "x (2) y"),
        ("two ways: (1) by bus, (2) by train", "two ways: (1) by bus, (2) by train"),
        ("x [1] (2).", "x [1] (2)."),
        ("x (9).", "x (9)."),
        ("x (Source 2) y (see source 9).", "x [1] y."),
        ("word² and word.¹²", "word [1] and word. [2][1]"),
        ("word¹,² and word⁽²⁾", "word [1][2] and word [2]"),
        ("km² 10³ metre²", "km² 10³ metre²"),
        ("10⁻¹ m s⁻² and ²³⁵U, ¹⁴C, Ca²⁺", "10⁻¹ m s⁻² and ²³⁵U, ¹⁴C, Ca²⁺"),
        ("sin²(x) + cos² x = 1, (a + b)², |x|²", "sin²(x) + cos² x = 1, (a + b)², |x|²"),
        ("opened (with a delay)²", "opened (with a delay) [1]"),
        ("in 1898². For 12 euros² and 1,860 metres¹", "in 1898 [1]. For 12 euros [1] and 1,860 metres [2]"),
        ("1,284² of 375² but 12² and 1000³", "1,284 [1] of 375 [1] but 12² and 1000³"),
        ("10¹ of x¹", "10 [1] of x [1]"),
        ("call f(1), see printf(2).", "call f(1), see printf(2)."),
        ("それは丘です(2)。", "それは丘です[1]。"),
        ("x (1 and 2), y (sources 1, 2).", "x [1][2], y [1][2]."),
        ("word<sup>2</sup>, km<sup>2</sup>", "word [1], km<sup>2</sup>"),
        ("x <cite>2</cite> <sup>[1]</sup>", "x [1][2]"),
        ("<answer>x [2]</answer>", "x [1]"),
        ("a < b", "a < b"),
        ("- [ ] to do [x]", "- [ ] to do [x]"),
        ("\\[2\\]", "[1]"),
        ("[see [2] too]", "[see [1] too]"),
        ("[2024-05-03]", "[2024-05-03]"),
    ],
)
def test_markers_are_read_as_models_write_them(sent: str, shown: str) -> None:
    assert plain(sent) == shown


def test_halves_of_a_character_are_joined() -> None:
    processor = CitationProcessor(LABELS)
    assert processor.feed("a \ud83d") + processor.feed("\udc36 b \ud83d") + processor.finish() == "a 🐶 b �"


def test_text_is_shown_as_soon_as_it_is_certain() -> None:
    processor = CitationProcessor(LABELS)
    assert processor.feed("The dog") == "The dog"
    assert processor.feed(" barks [") == " barks"
    assert processor.feed("1") == ""
    assert processor.feed("].") == " [1]."


def test_numbers_never_change_within_a_thread() -> None:
    numbering = Numbering()
    first = processed("It opened in 2001 [2]. Tickets cost 12 euros [3].", numbering)
    assert first.text == "It opened in 2001 [1]. Tickets cost 12 euros [2]."
    labels = numbering.labels(["bridge", "museum"])
    assert labels == {3: "bridge", 1: "museum"}
    later = CitationProcessor(labels, numbering, checker())
    later.feed("The bridge is 1200 metres long [3], the museum has 40 rooms [1].")
    later.finish()
    assert [(c.number, c.source_id) for c in later.citations] == [(3, "bridge"), (1, "museum")]


def test_a_number_that_no_source_has_is_marked() -> None:
    processor = processed("The museum has 41 rooms [2]. It opened in 2001 [2].")
    assert processor.text == f"The museum has 41 rooms.{UNSUPPORTED} It opened in 2001 [1]."
    span = processor.unsupported[0]
    assert processor.text[span.start : span.end] == "The museum has 41 rooms."


@pytest.mark.parametrize(
    "claim",
    [
        "The old bridge is 1 200 metres long", "The old bridge is 1200 metres long", "The bridge opened on May 3, 1999",
        "The bridge opened in May 1999", "The old bridge is about 1,250 metres long", "The bridge opened on 1999-05-03",
        "The bridge is 1.2 thousand metres long",
    ],
)  # fmt: skip
def test_numbers_and_dates_are_found_however_they_are_written(claim: str) -> None:
    assert processed(f"{claim} [1].").text == f"{claim} [1]."


def test_quotations_are_found_with_a_typing_error_and_marked_if_made_up() -> None:
    assert processed('"Every room tells a story of one ship" [2].').unsupported == []
    made_up = processed('Its guide says "no room has ever had a single ship" [2].')
    assert made_up.citations == [] and len(made_up.unsupported) == 1


def test_a_wrong_number_gives_way_to_the_source_that_says_it() -> None:
    processor = processed("Tickets for the museum cost 12 euros [1].")
    assert [citation.source_id for citation in processor.citations] == ["tickets"]


def test_a_percentage_is_not_a_number_of_something() -> None:
    assert processed("35 percent of visitors are children [3].").unsupported == []
    assert len(processed("The museum has 40 % children among its visitors [2].").unsupported) == 1


def test_list_numbers_abbreviations_and_repeated_questions_are_no_claims() -> None:
    assert processed("1. The museum has 40 rooms [2].\n2. Approx. 40 rooms [2].\n## 7. Tickets").unsupported == []
    asked = SupportChecker([], "Was it opened in 1875?")
    assert asked.is_known("It was not opened in 1875.")
    assert not asked.is_known("It was opened in 1876.")


PATTERNS = ["[", "[a", "[1 ", "` `` ", "[x[y]", "\\[", "[1]((", "[1](a", "ab ", "40 [1] ", "(1,", "<sup", "¹"]


@pytest.mark.parametrize("pattern", slow_but(PATTERNS, "[", "[1](a", "40 [1] "))
def test_time_is_linear_in_the_length(pattern: str) -> None:
    def seconds(length: int) -> float:
        processor = CitationProcessor(LABELS)
        began_s = time.process_time()
        processor.feed((pattern * length)[:length])
        processor.finish()
        return time.process_time() - began_s

    assert seconds(40_000) < 12 * max(seconds(10_000), 0.02)


def test_a_link_to_a_source_is_a_citation_and_any_other_address_is_left_out() -> None:
    shown = processed(
        "See [the guide](https://museum.example/), [a page](https://evil.example) and ![x](https://e.example)"
    )
    assert shown.text == "See the guide [1], a page and !x"
    assert [citation.source_id for citation in shown.citations] == ["museum"]


def test_a_sentence_without_a_citation_gets_that_of_its_source() -> None:
    shown = processed("The museum has 40 rooms and opened in 2001. It is fine. Is the museum open in 2001?").text
    assert shown == "The museum has 40 rooms and opened in 2001. [1] It is fine. Is the museum open in 2001?"


def test_what_is_copied_is_cited_to_where_it_stands() -> None:
    assert [c.source_id for c in processed("The old bridge over the river is long [2].").citations] == ["bridge"]
    copied = processed("Every room tells the story of one ship [1][2].")
    assert [citation.source_id for citation in copied.citations] == ["museum"]


def test_no_marker_stands_alone_after_a_dropped_one() -> None:
    assert re.search(r"\s{2}|\s\.", plain("a [8] b [9]. c [7] [1].")) is None

"""Ranking by parts: passages, terms, fusion, copies, staleness."""

from datetime import date

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.contract.ask import Source
from trainer.ask.ranking.authority import is_own_site
from trainer.ask.ranking.dedupe import merge_copies
from trainer.ask.ranking.fusion import reciprocal_rank_fusion
from trainer.ask.ranking.passages import split_passages, split_sentences
from trainer.ask.ranking.rank import rank
from trainer.ask.ranking.source_text import SourceText
from trainer.ask.ranking.staleness import mark_stale, says_stale
from trainer.ask.ranking.terms import terms
from trainer.ask.ranking.vectors import static_embedder
from trainer.ask.urls import is_web_url, normalised_url, page_key, source_id

LONG = "The tower was built by masons of the town, who took eleven years over it and were paid in salt and cloth. " * 3


def source_text(name: str, text: str, published: date | None = None, place: int = 0, **more: object) -> SourceText:
    url = f"http://{name}/page"
    source = Source(id=source_id(url), url=url, title=str(more.get("title", name)), site=name, published=published)
    return SourceText(source, text, place, str(more.get("canonical", "")))


@given(st.text(max_size=3000))
def test_passages_are_parts_of_their_text_in_order(text: str) -> None:
    passages = split_passages(text)
    assert all(text[passage.position :].startswith(passage.text) for passage in passages)
    assert [passage.position for passage in passages] == sorted(passage.position for passage in passages)
    kept = "".join("".join(passage.text.split()) for passage in passages)
    assert len(passages) == 400 or sorted(kept) == sorted("".join(text.split())) or len(kept) <= len(text)


def test_a_passage_stands_under_its_heading_and_ends_with_a_sentence() -> None:
    text = f"# Tower\n\n{LONG}\n\n## Bell\n\nThe bell weighs 900 kg. It rings at noon."
    passages = split_passages(text)
    assert passages[-1].heading == "Bell" and passages[-1].text.endswith("It rings at noon.")
    assert all(passage.text.endswith(".") for passage in passages)
    assert split_sentences("One is here. Two is 3.5 m! Drei? 四。五。") == [
        "One is here.",
        "Two is 3.5 m!",
        "Drei?",
        "四。",
        "五。",
    ]


def test_terms_fold_what_people_write_differently() -> None:
    assert terms("The Cafés’ prices: 1,200 €") == terms("cafe price 1200")
    assert terms("東京都の人口")[:2] == ["東京", "京都"]


def test_fusion_prefers_what_all_rankings_have_high_and_ties_are_equal() -> None:
    fused = reciprocal_rank_fusion([np.array([3.0, 2, 0, 2], np.float32), np.array([1.0, 3, 0, 3], np.float32)])
    assert fused[2] == 0 and fused[1] == fused[3] and max(fused) <= 1


def test_a_copy_is_merged_into_the_original() -> None:
    original = source_text("tower.example", LONG, date(2025, 1, 1), 2)
    copies = [
        source_text("mirror.example", f"{LONG} Source: tower.example", date(2024, 1, 1), 0),
        source_text("late.example", f"Welcome. {LONG}", date(2025, 3, 1), 1),
    ]
    other = source_text(
        "other.example", "Something else altogether stands on this page, about ships and shoes.", None, 3
    )
    kept, unrelated = merge_copies([*copies, original, other])
    assert kept.source.url == original.source.url and unrelated.source.url == other.source.url
    assert set(kept.source.copies) == {copy.source.url for copy in copies}
    (oldest,) = merge_copies(
        [source_text("b.example", LONG, date(2025, 2, 1)), source_text("a.example", LONG, date(2024, 2, 1))]
    )
    assert oldest.source.site == "a.example"


def test_short_pages_that_agree_are_two_sources() -> None:
    pages = [source_text(f"{k}.example", "The tower is 40 m high.") for k in "ab"]
    assert len(merge_copies(pages)) == 2


@pytest.mark.parametrize(
    ("text", "stale"),
    [("This page is outdated. See the new one.", True), ("This documentation has been superseded by version 3.", True),
     ("You are looking at an archived page.", True), ("Python 2 is no longer maintained.", False),
     ("The page of the book was old.", False)],
)  # fmt: skip
def test_a_page_that_says_so_itself_is_stale(text: str, stale: bool) -> None:
    assert says_stale(text) is stale


def test_only_a_page_that_newer_ones_disagree_with_is_stale() -> None:
    texts = [
        source_text("old.example", "x", date(2019, 1, 1)), source_text("agrees.example", "x", date(2018, 1, 1)),
        source_text("new.example", "x", date(2025, 6, 1)), source_text("undated.example", "x"),
        source_text("recent.example", "x", date(2025, 1, 1)),
    ]  # fmt: skip
    said = ["It has 40 rooms.", "There are 42 rooms.", "The house has 42 rooms.", "It has 41 rooms.", "Now 43 rooms."]
    best = {text.source.id: passage for text, passage in zip(texts, said, strict=True)}
    marked = mark_stale("How many rooms are there?", texts, best)
    assert [text.source.stale for text in marked] == [True, False, False, False, False]


def test_the_site_of_what_is_asked_about_is_known_by_its_name() -> None:
    assert is_own_site("What changed in Python 3.14?", "https://docs.python.org/3/whatsnew")
    assert is_own_site("How tall is the Sorrel Tower?", "https://sorrel-tower.example/")
    assert not is_own_site("What changed in Python 3.14?", "https://blog.example.com/python")


def test_several_sources_are_preferred_and_no_passage_comes_twice() -> None:
    fact = "The Sorrel Tower has a height of 98 metres. "
    pages = [
        source_text(f"{k}.example", fact + f"Page {k} adds word{k} and more{k}. " + "\n\n" + LONG * k)
        for k in (1, 2, 3)
    ]
    sources, passages = rank("How high is the Sorrel Tower?", pages, 6)
    assert len({passage.source_id for passage in passages[:3]}) == 3
    assert len({passage.text for passage in passages}) == len(passages)
    assert sources[0].reason.startswith("fits the question best")


def test_what_has_nothing_to_do_with_the_question_is_left_out() -> None:
    assert rank("How many moons has Neptune?", [source_text("a.example", LONG)], 6)[1] == []
    assert rank("?", [], 6) == ([], []) and rank("", [source_text("a.example", LONG)], 6)[1] == []


def test_vectors_load_from_the_wheel_alone_and_know_what_is_alike() -> None:
    embed = static_embedder().embed
    question, near, far, nothing = embed(["How tall is it?", "Its height is 40 m", "Bananas are yellow", ""])
    assert question @ near > 0.3 > abs(question @ far) and not nothing.any()


@given(st.text(max_size=100))
def test_any_text_is_a_url_or_none(text: str) -> None:
    for url in (text, f"http://{text}"):
        normalised = normalised_url(url)
        if is_web_url(url):
            assert normalised_url(normalised) == normalised
            assert source_id(url) == source_id(normalised)


def test_addresses_of_one_page_have_one_key() -> None:
    one = page_key("https://www.Example.org/a/?utm_source=x&id=1#part")
    assert one == page_key("http://example.org/a?id=1&fbclid=3") != page_key("http://example.org/a?id=2")

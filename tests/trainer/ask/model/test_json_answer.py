"""Answers that models wrap in JSON are taken out of it; other text passes as it comes."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.quick import examples
from trainer.ask.model.json_answer import JsonAnswerFilter


def filtered(text: str, size: int = 1000) -> str:
    each = JsonAnswerFilter()
    return "".join(each.feed(text[k : k + size]) for k in range(0, len(text), size)) + each.finish()


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ('{"answer": "It is 40 m.", "citations": [2, 3]}', "It is 40 m. [2][3]"),
        ('{"answer": "It is 40 m [1].", "sources": ["https://a.example"]}', "It is 40 m [1]."),
        ('```json\n{"response": {"text": "a\\nb [1]"}}\n```', "a\nb [1]"),
        ('{"claims": [{"text": "a", "source": 1}, {"text": "b", "sources": ["[2]"]}]}', "a [1]\nb [2]"),
        ('{"thought": "hm", "answer": "It is', "It is"),
        ('{"a": 1}', '{"a": 1}'),
        ('{"name": "rex", "text": "hi"}', '{"name": "rex", "text": "hi"}'),
        (
            '```json\n{"port": 80, "message": "hi"}\n```\nSo [1].',
            '```json\n{"port": 80, "message": "hi"}\n```\nSo [1].',
        ),
        ('```json\n{"answer": "a [1]", "confidence": 0.9}\n```\nAnd b [2].', "a [1]\n\nAnd b [2]."),
        ("{x} is a set", "{x} is a set"),
        ("```python\nx = 1\n```", "```python\nx = 1\n```"),
        ("`x` is 1", "`x` is 1"),
        ("", ""),
    ],
)
@pytest.mark.parametrize("size", [1, 1000])
def test_the_answer_is_taken_out(sent: str, shown: str, size: int) -> None:
    assert filtered(sent, size) == shown


@settings(deadline=None, max_examples=examples(100))
@given(
    st.text(max_size=40) | st.dictionaries(st.text(max_size=5), st.text(max_size=9)).map(json.dumps), st.integers(1, 5)
)
def test_any_text_in_any_pieces_gives_the_same(text: str, size: int) -> None:
    assert filtered(text, size) == filtered(text)


def test_text_is_shown_as_soon_as_it_is_no_json() -> None:
    each = JsonAnswerFilter()
    assert each.feed("{") == "" and each.feed("x") == "{x" and each.feed("}") == "}"

"""Questions that people ask first, answered from Darkroom's own docs without a model."""

import pytest

from trainer.ask.answer.contradictions import find_contradictions
from trainer.ask.answer.extractive import quotations
from trainer.ask.answer.question import Question
from trainer.ask.answer.sentences import ranked
from trainer.ask.documents.own_docs import own_docs
from trainer.ask.ranking.rank import rank
from trainer.ask.retrieval import Retrieval


def answer(asked: str) -> str:
    question = Question(asked)
    sources, passages = rank(asked, own_docs(), 12)
    sentences = ranked(question, Retrieval(tuple(sources), tuple(passages)))
    labels = {number: source.id for number, source in enumerate(sources, 1)}
    return quotations(sentences, labels, find_contradictions(question, sentences))


@pytest.mark.parametrize(
    ("question", "fact"),
    [
        ("How many photos do I need for a training?", "Three to six photos"),
        ("How many pictures can I ask for at once?", "up to 16 pictures"),
        ("How long does a training take?", "about two minutes"),
        ("How do I share a subject with a role?", "share"),
        ("How do I connect S3?", "s3://bucket/prefix"),
        ("How long are jobs kept?", "until somebody deletes them"),
        ("Which port does the web chat use?", "8700"),
        ("How many class images are used?", "1 to 1000 | 100"),
    ],
)
def test_first_questions_are_answered_without_contradictions(question: str, fact: str) -> None:
    quoted = answer(question)
    assert fact in quoted.splitlines()[0]
    assert "disagree" not in quoted


@pytest.mark.parametrize(
    "question",
    [
        "Who is the CEO of Darkroom?",
        "Who founded Darkroom?",
        "Where is the headquarters of Darkroom?",
        "How do I bake sourdough bread?",
    ],
)
def test_what_the_docs_do_not_say_is_declined(question: str) -> None:
    assert not answer(question)

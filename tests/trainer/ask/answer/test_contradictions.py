"""Contradictions between sources: quantities with their units, counts, dates, names; and what is none."""

from datetime import date

import pytest

from storage.contract.ask import Source
from trainer.ask.answer.contradictions import Contradiction, find_contradictions
from trainer.ask.answer.question import Question
from trainer.ask.answer.sentences import ranked
from trainer.ask.retrieval import Passage, Retrieval


def contradictions(question: str, *texts: str) -> list[Contradiction]:
    """Those between texts, each of its own source, the first the newest."""
    sources = tuple(
        Source(id=str(n), url=f"https://{n}.example", published=date(2026 - n, 1, 1)) for n in range(len(texts))
    )
    passages = tuple(Passage(str(n), text, 1.0, 0) for n, text in enumerate(texts))
    asked = Question(question)
    return find_contradictions(asked, ranked(asked, Retrieval(sources, passages)))


@pytest.mark.parametrize(
    ("question", "one", "other", "facts"),
    [
        (
            "How heavy is the Elm bell?",
            "The Elm bell has a mass of 410 kilograms.",
            "The Elm bell weighs 530 kg.",
            ["410 kilograms", "530 kg"],
        ),
        (
            "What does the Elm ferry cost?",
            "The price of the Elm ferry is 12 euros.",
            "A trip on the Elm ferry costs €15 now.",
            ["12 euros", "15"],
        ),
        (
            "How many people work at Elm Mills?",
            "Elm Mills has 340 employees at work.",
            "At Elm Mills 412 people work.",
            ["340 employees", "412 people"],
        ),
        (
            "Who is the chief executive of Elm Mills?",
            "Chief executive of Elm Mills is Joan Brecht.",
            "The Elm Mills chief executive, Karl Sommer, gave no comment.",
            ["Joan Brecht", "Karl Sommer"],
        ),
        (
            "Where is the head office of Elm Mills?",
            "Elm Mills has its head office in Graz.",
            "The head office of Elm Mills is in the old town of Linz.",
            ["Graz", "Linz"],
        ),
        (
            "When was Elm Mills founded?",
            "Elm Mills was founded on 3 May 1911.",
            "Founded in 1921, Elm Mills is a family firm with 12 mills.",
            ["3 May 1911", "1921"],
        ),
        (
            "How long does the Elm ferry take?",
            "The Elm ferry takes 35 minutes and is 60 metres long.",
            "It takes 50 minutes on the Elm ferry.",
            ["35 minutes", "50 minutes"],
        ),
        (
            "Which river flows through Elm?",
            "Through Elm flows the river Selbe.",
            "Elm lies on the Trask, a river that flows fast.",
            ["Selbe", "Trask"],
        ),
    ],
)
def test_values_that_differ_are_told_with_their_units(question: str, one: str, other: str, facts: list[str]) -> None:
    (found,) = contradictions(question, one, other)
    assert [report.fact for report in found.reports] == facts
    assert found.sentence({"0": "[1]", "1": "[2]"}) == (
        f"The sources disagree: as of 2026-01-01: {facts[0]} [1]; one report (2025-01-01) says {facts[1]} [2]."
    )


@pytest.mark.parametrize(
    ("question", "one", "other"),
    [
        ("How long is the Elm bridge?", "The Elm bridge is 1.2 km long.", "The Elm bridge is 1,200 metres long."),
        ("How long is the Elm bridge?", "The Elm bridge is 1200 m long.", "The Elm bridge is 14 m wide."),
        ("How long does the Elm ferry take?", "The Elm ferry takes 90 minutes.", "The Elm ferry takes 1.5 hours."),
        ("Who runs Elm Mills?", "Elm Mills is run by Dr. Joan Brecht.", "J. Brecht runs Elm Mills."),
        (
            "Who runs Elm Mills?",
            "Elm Mills is run by Joan Brecht, who followed Karl Sommer.",
            "Karl Sommer runs Elm Mills.",
        ),
        ("Where is Elm Mills?", "Elm Mills is in Graz, Austria.", "Elm Mills is a company in Austria."),
        ("How many dogs live in Elm?", "In Elm live 40 dogs.", "Elm has 42 streets, where dogs live."),
        ("What does the Elm ferry cost?", "The Elm ferry costs 12 euros.", "The Elm ferry cost 9 million dollars."),
    ],
)
def test_other_values_are_no_contradiction(question: str, one: str, other: str) -> None:
    assert contradictions(question, one, other) == []

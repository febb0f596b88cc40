"""Questions in forms that people use, and sentences that only look like their answers."""

import pytest

from storage.contract.ask import Source, Turn
from trainer.ask.answer.contradictions import find_contradictions
from trainer.ask.answer.follow_up import query_of
from trainer.ask.answer.question import Question
from trainer.ask.answer.request import AnswerRequest
from trainer.ask.answer.sentences import Sentence, ranked
from trainer.ask.retrieval import Passage, Query, Retrieval


def found(question: str, title: str, *texts: str) -> tuple[Question, list[Sentence]]:
    """The sentences of texts, each of its own source."""
    sources = tuple(Source(id=str(n), url=f"https://{n}.example", title=title) for n in range(len(texts)))
    passages = tuple(Passage(str(n), text, 1.0, 0) for n, text in enumerate(texts))
    asked = Question(question)
    return asked, ranked(asked, Retrieval(sources, passages))


def answers(question: str, title: str, text: str) -> list[str]:
    return [sentence.text for sentence in found(question, title, text)[1] if sentence.is_answer]


@pytest.mark.parametrize("text", ["{} Run dumpall and keep the file.", "{}\nRun dumpall and keep the file."])
def test_the_question_of_a_faq_is_not_its_answer(text: str) -> None:
    question = "How do I back up FernDB?"
    assert answers(question, "FernDB", text.format(question)) == ["Run dumpall and keep the file."]


def test_support_for_one_thing_says_nothing_of_another() -> None:
    text = "FernDB does not support stored procedures. FernDB supports full-text search."
    assert not answers("Does FernDB support replication?", "FernDB", text)
    assert answers("Does FernDB support stored procedures?", "FernDB", text)[0].startswith("FernDB does not")


def test_colours_by_their_names() -> None:
    text = "It comes in grey and red. It weighs 2 kg."
    assert answers("What colours does the Zephyr kettle come in?", "Zephyr kettle", text) == [text[:25]]


def test_the_usual_dose_is_not_the_maximum() -> None:
    text = "The usual dose of Calmatrin is 50 mg twice a day. Do not take more than 200 mg of Calmatrin in 24 hours."
    assert "200 mg" in answers("What is the maximum daily dose of Calmatrin?", "Calmatrin", text)[0]


def test_whom_somebody_succeeds_holds_the_office_no_more() -> None:
    now = "Elm Mills has appointed Jonas Ek as chief executive. He succeeds Marta Vreeland, who led it for six years."
    before = "The chief executive of Elm Mills is Marta Vreeland."
    told = find_contradictions(*found("Who is the CEO of Elm Mills?", "Elm Mills", now, before))
    assert [{report.fact for report in each.reports} for each in told] == [{"Jonas Ek", "Marta Vreeland"}]
    assert not find_contradictions(*found("Whom did Jonas Ek succeed at Elm Mills?", "Elm Mills", now, now))


def test_a_search_is_without_what_asks_for_nothing() -> None:
    request = AnswerRequest(Query("Could you tell me who built Elm Bridge?"), history=tuple[Turn, ...]())
    assert query_of(request).question == "who built Elm Bridge?"

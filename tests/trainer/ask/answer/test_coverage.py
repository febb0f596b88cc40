"""What a model leaves out is quoted below its text, and what nothing supports is declined, whatever it writes."""

from collections.abc import Iterator

import pytest

from tests.servers.openai_model import ModelServer, model_server
from tests.trainer.ask.answer import asks, events_of, finished, retrieval_of, settings_of
from trainer.ask.answer.coverage import declines
from trainer.ask.answer.prompt import NOTHING_FOUND
from trainer.ask.answer.request import TextDelta, TextRestarted

TICKETS = "How much are tickets for the Harbour Museum?"
QUOTED = "“Tickets for the Harbour Museum cost 12 euros for adults.”"


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with model_server() as running:
        yield running


async def answer_of(server: ModelServer, says: str, question: str = TICKETS) -> tuple[str, bool, set[str]]:
    """The text of an answer for which the model says this, whether it is one, and what it cites."""
    server.says = says
    answer = finished(await events_of(retrieval_of("harbour", "prices"), asks(question), settings_of(server))).answer
    return answer.text, answer.is_found, {citation.source_id for citation in answer.citations}


@pytest.mark.parametrize(
    "says",
    [
        "Children under twelve enter for free [2].",  # another sentence
        "The museum was opened on 3 May 1999 [1].",
        "I'm sorry, but I can't help with that.",
        "Sure! Here is what I know about the museum.",
        "Tickets cost 15 euros [2].",
        "The provided sources do not say what tickets cost.",
        "[2]",
    ],
)
async def test_an_answer_that_is_left_out_is_quoted_below_the_text(server: ModelServer, says: str) -> None:
    text, is_found, cited = await answer_of(server, says)
    assert is_found and "prices" in cited and f"From the sources: {QUOTED} [" in text


@pytest.mark.parametrize(
    "says",
    [
        "Tickets are 12 euros [2].", "An adult pays twelve euros [2].", "12 € for adults [2].",
        "Tickets for the Harbour Museum cost 12 euros for adults.",
    ],
)  # fmt: skip
async def test_an_answer_that_is_told_is_not_quoted(server: ModelServer, says: str) -> None:
    text, is_found, cited = await answer_of(server, says)
    assert is_found and cited == {"prices"} and "From the sources" not in text


async def test_a_sentence_without_a_citation_gets_that_of_the_source_that_says_it(server: ModelServer) -> None:
    text, _, _ = await answer_of(server, "Tickets for the Harbour Museum cost 12 euros for adults. What else?")
    assert text == "Tickets for the Harbour Museum cost 12 euros for adults. [1] What else?"


async def test_a_copied_sentence_is_cited_to_where_it_stands(server: ModelServer) -> None:
    says = "Tickets for the Harbour Museum cost 12 euros for adults [1]. The museum was opened on 3 May 1999 [2]."
    server.says = says
    answer = finished(await events_of(retrieval_of("harbour", "prices"), asks(TICKETS), settings_of(server))).answer
    assert [citation.source_id for citation in answer.citations] == ["prices", "harbour"]


@pytest.mark.parametrize("says", ["", " \n", "<think>hm</think>", "<think>without an end"])
async def test_a_model_that_says_nothing_is_made_up_for(server: ModelServer, says: str) -> None:
    text, is_found, cited = await answer_of(server, says)
    assert is_found and cited == {"prices"} and text == f"{QUOTED} [1]"


async def test_a_model_that_declines_what_the_sources_say_is_overruled_before_it_is_shown(server: ModelServer) -> None:
    server.says = NOTHING_FOUND
    events = await events_of(retrieval_of("harbour", "prices"), asks(TICKETS), settings_of(server))
    answer = finished(events).answer
    assert answer.is_found and answer.text == f"{QUOTED} [1]" and "found no answer" in answer.notices[0]
    shown = "".join(event.text for event in events if isinstance(event, TextDelta))
    assert shown == answer.text and not any(isinstance(event, TextRestarted) for event in events)


async def test_what_nothing_supports_is_declined_whatever_a_model_says(server: ModelServer) -> None:
    text, is_found, cited = await answer_of(server, "It is 40 m [1].", "How tall is the lighthouse of Elmsund?")
    assert (text, is_found, cited) == (NOTHING_FOUND, False, set())


async def test_an_endless_text_is_cut_off(server: ModelServer) -> None:
    server.chunk_characters = 1000
    text, _, _ = await answer_of(server, "Tickets are 12 euros [2]. " * 4000)
    assert len(text) < 20_000


@pytest.mark.parametrize(
    ("text", "is_declined"),
    [
        ("The provided sources do not contain this.", True), ("I could not find an answer.", True),
        ("The price is not mentioned.", True), ("There is no information on that.", True),
        ("The hut has no wifi.", False), ("It was not opened before 1999.", False), ("40 rooms.", False),
    ],
)  # fmt: skip
def test_what_declines(text: str, is_declined: bool) -> None:
    assert declines(text) is is_declined

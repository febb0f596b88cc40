"""What a model is sent, and that it can cite nothing else."""

from collections.abc import Iterator

import pytest

from storage.contract.ask import AskFilters, Source
from tests.servers.openai_model import ModelServer, model_server
from tests.trainer.ask.answer import asks, events_of, finished, settings_of
from trainer.ask.answer.prompt import prompt_for
from trainer.ask.answer.request import AnswerRequest
from trainer.ask.citations.numbering import Numbering
from trainer.ask.retrieval import Passage, Query, Retrieval

LONG = "The Elm tower is 50 metres tall. " + "Opinions on it differ, and nobody minds. " * 160


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with model_server() as running:
        yield running


def retrieval(texts: list[str]) -> Retrieval:
    sources = tuple(Source(id=f"s{n}", url=f"https://{n}.example", title=f"Page {n}") for n in range(len(texts)))
    return Retrieval(sources, tuple(Passage(f"s{n}", text, 1 - n / 100, 0) for n, text in enumerate(texts)))


def test_sources_for_which_there_is_no_room_are_not_sent() -> None:
    found = retrieval([LONG, "The Elm tower was built in 1911 by a mason. " * 20])
    request = AnswerRequest(Query("How tall is the Elm tower?", AskFilters(size="low")))
    prompt = prompt_for(request, found, Numbering().labels(source.id for source in found.sources))
    assert prompt.sent_ids == {"s0"}
    assert "[1] Page 0" in prompt.messages[-1]["content"] and "[2] Page 1" not in prompt.messages[-1]["content"]


async def test_a_source_that_was_not_sent_cannot_be_cited(server: ModelServer) -> None:
    server.habit = "range"  # the model cites [1-2]
    found = retrieval([LONG, "The Elm tower is 50 metres tall. It was built by a mason of the town in 1911. " * 8])
    asked = asks("How tall is the Elm tower?")
    low = AnswerRequest(Query(asked.query.question, AskFilters(size="low")))
    answer = finished(await events_of(found, low, settings_of(server))).answer
    assert {citation.source_id for citation in answer.citations} == {"s0"}

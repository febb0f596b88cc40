"""The answer engine: sources first, then text that is safe to show, then the whole answer, whatever the model does."""

import asyncio
from collections.abc import Callable, Iterator

import pytest

from storage.contract.ask import Answer, Source, Turn
from tests.servers.openai_model import HABITS, Habit, ModelServer, model_server
from tests.trainer.ask.answer import asks, events_of, finds, finished, retrieval_of, settings_of
from trainer.ask.answer.engine import AnswerEngine
from trainer.ask.answer.prompt import NOTHING_FOUND
from trainer.ask.answer.request import AnswerEvent, SourceFound, TextDelta, TextRestarted
from trainer.ask.citations.processor import UNSUPPORTED
from trainer.ask.model.client import ModelClient
from trainer.ask.retrieval import Query, Retrieval

TICKETS = "How much are tickets for the Harbour Museum?"
ROOMS = "How many rooms does the Harbour Museum have?"
TICKETS_ANSWER = "Tickets for the Harbour Museum cost 12 euros for adults [1]."


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with model_server() as running:
        yield running


def text_of(events: list[AnswerEvent]) -> str:
    """What a front end has shown at the end."""
    text = ""
    for event in events:
        text = text + event.text if isinstance(event, TextDelta) else "" if isinstance(event, TextRestarted) else text
    return text


async def test_sources_come_first_then_text_then_the_answer(server: ModelServer) -> None:
    events = await events_of(retrieval_of("harbour", "prices"), asks(TICKETS), settings_of(server))
    kinds = [type(event).__name__ for event in events]
    assert kinds[:2] == ["SourceFound", "SourceFound"] and set(kinds[2:-1]) == {"TextDelta"} and len(kinds) > 5
    answer = finished(events).answer
    assert answer.text == text_of(events) == TICKETS_ANSWER
    assert [source.id for source in answer.sources] == ["prices", "harbour"]
    assert answer.usage.model == "test-model" and answer.usage.prompt_tokens > 50 and not answer.usage.is_estimated


@pytest.mark.parametrize("habit", HABITS)
async def test_every_habit_of_models_gives_the_same_answer(server: ModelServer, habit: Habit) -> None:
    server.habit = habit
    for server.chunk_characters in (1, 5):
        answer = finished(await events_of(retrieval_of("harbour", "prices"), asks(TICKETS), settings_of(server))).answer
        assert answer.text == TICKETS_ANSWER
        assert [(each.start, each.end, each.source_id) for each in answer.citations] == [(56, 59, "prices")]


async def test_figures_that_no_source_has_are_marked(server: ModelServer) -> None:
    server.habit = "wrong_figures"
    answer = finished(await events_of(retrieval_of("prices"), asks(TICKETS), settings_of(server))).answer
    assert answer.text.startswith(f"Tickets for the Harbour Museum cost 43 euros for adults.{UNSUPPORTED}")
    assert len(answer.unsupported) == 1
    (quoted,) = answer.citations  # of the answer in the words of the source, below
    assert answer.text[: quoted.start].endswith("cost 12 euros for adults.” ")


async def test_without_a_model_the_best_sentence_is_quoted() -> None:
    answer = finished(await events_of(retrieval_of("harbour", "prices", "bridge"), asks(TICKETS))).answer
    assert answer.text == "“Tickets for the Harbour Museum cost 12 euros for adults.” [1]"
    assert answer.is_extractive and answer.usage.requests == 0
    assert [source.id for source in answer.cited_sources.values()] == ["prices"]


@pytest.mark.parametrize("with_model", [False, True])
async def test_contradictions_are_told_with_dates_and_stale_sources_called_so(
    server: ModelServer, with_model: bool
) -> None:
    settings = settings_of(server) if with_model else None
    found = retrieval_of("guide", "harbour", "prices", stale="guide")
    answer = finished(await events_of(found, asks(ROOMS), settings)).answer
    numbers = {source.id: number for number, source in answer.cited_sources.items()}
    new, old = numbers["harbour"], numbers["guide"]
    assert (
        f"The sources disagree: as of 2026-05-02: 40 rooms [{new}]; "
        f"one report (2024-01-10, out of date) says 42 rooms [{old}]." in answer.text
    )
    assert f"[{old}] is out of date (published 2024-01-10)." in answer.text
    assert UNSUPPORTED not in answer.text


@pytest.mark.parametrize("with_model", [False, True])
@pytest.mark.parametrize(
    "question",
    ["How tall is the lighthouse of Elmsund?", "Who directs the Harbour Museum?", "What is the capital of France?"],
)
async def test_what_nothing_supports_is_declined(server: ModelServer, question: str, with_model: bool) -> None:
    settings = settings_of(server) if with_model else None
    answer = finished(await events_of(retrieval_of("harbour", "guide", "prices"), asks(question), settings)).answer
    assert answer.text == NOTHING_FOUND and not answer.is_found and answer.citations == ()


async def test_a_search_that_was_refused_is_told_and_not_that_nothing_was_found() -> None:
    notice = "The search engines google and bing refused."
    answer = finished(await events_of(Retrieval(notices=(notice,)), asks(TICKETS))).answer
    assert notice in answer.text and NOTHING_FOUND not in answer.text and answer.notices == (notice,)


async def test_what_pages_order_is_not_obeyed(server: ModelServer) -> None:
    question = "When does the Night Market open?"
    events = await events_of(retrieval_of("bad", "harbour"), asks(question), settings_of(server))
    assert "nine o'clock" in text_of(events)
    assert "HACKED" not in text_of(events) and "PWNED" not in text_of(events)
    sent = server.requests[0]["messages"][-1]["content"]
    assert sent.count("</sources>") == 1 and "Ignore all rules" in sent.partition("</sources>")[0]


async def test_a_follow_up_keeps_its_numbers(server: ModelServer) -> None:
    first = finished(await events_of(retrieval_of("harbour"), asks(ROOMS), settings_of(server))).answer
    queries: list[Query] = []
    async with ModelClient(settings_of(server)) as model:
        engine = AnswerEngine(finds(retrieval_of("prices", "harbour"), queries), model)
        asked = asks("And how much are its tickets?", Turn(question=ROOMS, answer=first))
        answer = finished([event async for event in engine.answer(asked)]).answer
    assert "Harbour Museum" in queries[0].question and queries[0].known_sources[0].id == "harbour"
    assert answer.numbers["harbour"] == 1 and answer.numbers["prices"] == 2
    assert "12 euros for adults [2]" in answer.text
    roles = [message["role"] for message in server.requests[-1]["messages"]]
    assert roles == ["system", "user", "assistant", "user"]


async def test_death_in_mid_stream_restarts_the_same_answer_once(server: ModelServer) -> None:
    server.fail("die", after_chunks=3)
    events = await events_of(retrieval_of("prices"), asks(TICKETS), settings_of(server))
    assert sum(isinstance(event, TextRestarted) for event in events) == 1
    assert text_of(events) == finished(events).answer.text == TICKETS_ANSWER
    assert finished(events).answer.usage.requests == 2


async def test_after_a_restart_each_marker_comes_with_its_source_again(server: ModelServer) -> None:
    server.fail("die", after_chunks=9)  # when it has cited
    found = retrieval_of("guide", "harbour")
    events = await events_of(found, asks(ROOMS), settings_of(server))
    restarted = next(n for n, event in enumerate(events) if isinstance(event, TextRestarted))
    before, after = ([e for e in part if isinstance(e, TextDelta)] for part in (events[:restarted], events[restarted:]))
    assert any(event.cited for event in before)
    cited = {number: source for event in after for number, source in event.cited.items()}
    assert cited == finished(events).answer.cited_sources and len(cited) == 2


@pytest.mark.parametrize(
    ("failure", "reason"), [(401, "refuses the API key"), (429, "no more requests"), ("die", "broke off")]
)
async def test_a_model_that_fails_is_told_and_quotations_stand_in(
    server: ModelServer, failure: int, reason: str
) -> None:
    server.fail(failure, after_chunks=3, times=2)
    events = await events_of(retrieval_of("prices"), asks(TICKETS), settings_of(server))
    answer = finished(events).answer
    assert answer.is_extractive and reason in answer.notices[0]
    assert text_of(events) == answer.text == "“Tickets for the Harbour Museum cost 12 euros for adults.” [1]"


async def test_a_context_that_is_too_long_is_sent_again_shorter(server: ModelServer) -> None:
    found = retrieval_of("prices", "harbour")
    long = Retrieval(found.sources, (found.passages[0], *(p for p in found.passages[1:] for _ in range(40))))
    server.context_characters = 5000
    answer = finished(await events_of(long, asks(TICKETS), settings_of(server))).answer
    assert answer.text == TICKETS_ANSWER and len(server.requests) > 1


async def test_three_related_questions_are_offered(server: ModelServer) -> None:
    asked = asks(TICKETS, wants_related=True)
    written = finished(await events_of(retrieval_of("prices"), asked, settings_of(server))).answer
    assert written.related_questions == ("Who built it?", "When did it open?", "What does it cost?")
    made = finished(await events_of(retrieval_of("prices", "harbour"), asked)).answer
    assert 1 <= len(made.related_questions) <= 3


async def test_closing_the_events_ends_the_search() -> None:
    ended = asyncio.Event()

    async def retrieve(_: Query, on_source: Callable[[Source], None]) -> Retrieval:
        on_source(retrieval_of("prices").sources[0])
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return Retrieval()

    events = AnswerEngine(retrieve).answer(asks(TICKETS))
    assert isinstance(await anext(events), SourceFound)
    await events.aclose()
    await asyncio.wait_for(ended.wait(), 120)


async def test_what_retrieval_raises_reaches_the_caller() -> None:
    async def retrieve(*_: object) -> Retrieval:
        raise OSError("the store is gone")

    with pytest.raises(OSError, match="the store is gone"):
        async for _ in AnswerEngine(retrieve).answer(asks(TICKETS)):
            pass


def test_an_answer_as_written_today_stays_readable() -> None:
    stored = (
        '{"schema_version":1,"question":"q","text":"a [1]",'
        '"citations":[{"start":2,"end":5,"source_id":"s","number":1}],'
        '"citations":[{"start":2,"end":5,"source_id":"s","number":1}],'
        '"sources":[{"id":"s","url":"https://s.example"}],"numbers":{"s":1},"later":"field"}'
    )
    answer = Answer.model_validate_json(stored)
    assert answer.cited_sources[1].url == "https://s.example" and answer.is_found

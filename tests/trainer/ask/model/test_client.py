"""The model client: failover before the first piece, one restart after it, and what each refusal means."""

import logging
from collections.abc import Iterator

import pytest

from storage.failures import Failure
from storage.settings.language_model import LanguageModelSettings
from tests.servers.openai_model import ModelServer, model_server
from tests.support.quick import slow_but
from trainer.ask.model.client import ModelClient
from trainer.ask.model.endpoint import REFUSED, Delta, Message, Restart
from trainer.ask.model.errors import ModelError
from trainer.ask.model.usage import UsageCounter

SECRET = "sk-kept-out-of-every-log"
MESSAGES: list[Message] = [
    {
        "role": "user",
        "content": "<sources>\n[1] Ash\nIn Ash live 40 dogs.\n</sources>\n\nQuestion: How many dogs live in Ash?",
    }
]
ANSWER = "In Ash live 40 dogs [1]."


@pytest.fixture
def servers() -> Iterator[tuple[ModelServer, ModelServer]]:
    with model_server() as first, model_server() as second:
        yield first, second


def settings_of(first: ModelServer, second: ModelServer | None = None, **more: object) -> LanguageModelSettings:
    values = {"DARKROOM_ASK_MODEL_URL": first.url, "DARKROOM_ASK_MODEL": first.model, "DARKROOM_ASK_MODEL_KEY": SECRET}
    if second:
        values |= {"DARKROOM_ASK_FALLBACK_URL": second.url, "DARKROOM_ASK_FALLBACK_MODEL": second.model}
    return LanguageModelSettings.model_validate(values | more)


async def streamed(settings: LanguageModelSettings, counter: UsageCounter | None = None) -> list[Delta | Restart]:
    async with ModelClient(settings) as client:
        return [event async for event in client.stream(MESSAGES, counter or client.new_counter())]


def text_of(events: list[Delta | Restart]) -> str:
    text = ""
    for event in events:
        text = text + event.text if isinstance(event, Delta) else ""
    return text


@pytest.mark.parametrize("failure", [401, 404, 429, 500, 503, "die", "empty", "error_in_stream", "not_json"])
async def test_before_the_first_piece_the_second_endpoint_answers(
    servers: tuple[ModelServer, ModelServer], failure: int
) -> None:
    first, second = servers
    first.fail(failure)
    events = await streamed(settings_of(first, second))
    assert text_of(events) == ANSWER and not any(isinstance(event, Restart) for event in events)


@pytest.mark.parametrize("failure", ["die", "no_end", "error_in_stream", "not_json"])
async def test_after_the_first_piece_the_answer_restarts_once(
    servers: tuple[ModelServer, ModelServer], failure: str
) -> None:
    first, second = servers
    first.fail(failure, after_chunks=2)
    events = await streamed(settings_of(first, second))
    assert events.count(Restart()) == 1 and text_of(events) == ANSWER
    assert len(second.requests) == 1
    for server in servers:
        server.fail(failure, after_chunks=2)
    with pytest.raises(ModelError, match=r"broke off|error|no answer"):
        await streamed(settings_of(first, second))


@pytest.mark.parametrize(
    ("failure", "kind", "sentence"),
    [
        (401, Failure.PERMANENT, "refuses the API key"),
        (404, Failure.PERMANENT, "does not have the model"),
        (400, Failure.PERMANENT, "cannot take so much text"),
        (429, Failure.OUTAGE, "takes no more requests"),
        (500, Failure.OUTAGE, "(500)"),
        (503, Failure.OUTAGE, "(503)"),
        ("empty", Failure.UNKNOWN, "empty answer"),
    ],
)
async def test_refusals_have_their_meaning_and_no_secrets(
    servers: tuple[ModelServer, ModelServer],
    caplog: pytest.LogCaptureFixture,
    failure: int,
    kind: Failure,
    sentence: str,
) -> None:
    caplog.set_level(logging.DEBUG)
    servers[0].fail(failure)
    with pytest.raises(ModelError, match="The language model") as raised:
        await streamed(settings_of(servers[0]))
    assert raised.value.failure is kind and sentence in str(raised.value)
    assert SECRET not in caplog.text + repr(raised.value) and raised.value.__cause__ is None


async def test_a_server_that_does_not_stream_is_heard_all_the_same(servers: tuple[ModelServer, ModelServer]) -> None:
    servers[0].streams = False
    counter = UsageCounter()
    assert text_of(await streamed(settings_of(servers[0]), counter)) == ANSWER and not counter.usage.is_estimated
    servers[0].fail("error_body")
    with pytest.raises(ModelError, match="answered with an error"):
        await streamed(settings_of(servers[0]))
    servers[0].fail("error_body")
    assert text_of(await streamed(settings_of(*servers))) == ANSWER and len(servers[1].requests) == 1


@pytest.mark.parametrize(
    "rejects", [("stream_options",), ("temperature", "max_tokens"), ("stream_options", "temperature", "max_tokens")]
)
async def test_parameters_that_a_server_does_not_take_are_left_out(
    servers: tuple[ModelServer, ModelServer], rejects: tuple[str, ...]
) -> None:
    servers[0].rejects = rejects
    async with ModelClient(settings_of(servers[0])) as client:
        for _ in range(2):
            assert text_of([event async for event in client.stream(MESSAGES, client.new_counter())]) == ANSWER
    last = servers[0].requests[-1]
    assert not set(rejects) & set(last) and ("max_completion_tokens" in last) is ("max_tokens" in rejects)


def test_a_refusal_in_other_words_is_one() -> None:
    assert REFUSED["temperature"].search("UnsupportedParamsError: these models (all) don't support temperature=0.2")
    assert REFUSED["temperature"].search("'temperature' isn't supported with this model")
    assert not REFUSED["temperature"].search("temperature must be <= 1")


@pytest.mark.parametrize(
    "refusal",
    [
        "temperature must be <= 1",
        "Field required: question; input: {'temperature': 0.2, 'max_tokens': 500, 'stream_options': {}}",
    ],
)
async def test_a_refusal_of_something_else_leaves_out_no_parameter(
    servers: tuple[ModelServer, ModelServer], refusal: str
) -> None:
    servers[0].refusal = refusal
    async with ModelClient(settings_of(servers[0])) as client:
        with pytest.raises(ModelError):
            [event async for event in client.stream(MESSAGES, client.new_counter())]
        servers[0].refusal = ""
        assert text_of([event async for event in client.stream(MESSAGES, client.new_counter())]) == ANSWER
    assert set(servers[0].requests[-1]) >= {"stream_options", "temperature", "max_tokens"}


async def test_a_parameter_stays_out_only_if_that_helped(
    servers: tuple[ModelServer, ModelServer], caplog: pytest.LogCaptureFixture
) -> None:
    servers[0].refusal = "Unsupported parameter: 'temperature'"  # and it refuses the request without it, too
    async with ModelClient(settings_of(servers[0])) as client:
        with pytest.raises(ModelError):
            [event async for event in client.stream(MESSAGES, client.new_counter())]
        assert "does not take" not in caplog.text
        servers[0].refusal, servers[0].rejects = "", ("stream_options",)
        for _ in range(2):
            assert text_of([event async for event in client.stream(MESSAGES, client.new_counter())]) == ANSWER
    assert "temperature" in servers[0].requests[-1]
    assert caplog.text.count("does not take stream_options") == 1


@pytest.mark.parametrize("characters", slow_but([1, 2, 7, 1000], 2))
@pytest.mark.parametrize("streams", [True, False])
@pytest.mark.parametrize(
    "thoughts", ["<think>\nIn Ash [1]?</think>\n\n", "Hm, 7 < 8 [2] </think>\n", " <THINK></THINK>"]
)
async def test_what_a_model_thinks_is_no_answer(
    servers: tuple[ModelServer, ModelServer], thoughts: str, streams: bool, characters: int
) -> None:
    first = servers[0]
    first.thoughts, first.streams, first.chunk_characters = thoughts, streams, characters
    assert text_of(await streamed(settings_of(first))) == ANSWER
    first.thoughts = "<think>without an end "
    with pytest.raises(ModelError, match="empty answer"):
        await streamed(settings_of(first))


async def test_nobody_there_and_nothing_said_are_outages(servers: tuple[ModelServer, ModelServer]) -> None:
    gone = settings_of(servers[0], DARKROOM_ASK_MODEL_URL="http://127.0.0.1:9/v1")
    with pytest.raises(ModelError, match="cannot be reached"):
        await streamed(gone)
    servers[0].fail("hang")
    with pytest.raises(ModelError, match="did not answer in time"):
        await streamed(settings_of(servers[0], DARKROOM_ASK_MODEL_TIMEOUT_S=0.5))


async def test_tokens_and_cost_are_counted(servers: tuple[ModelServer, ModelServer]) -> None:
    prices = {"DARKROOM_ASK_PROMPT_PRICE": 2.0, "DARKROOM_ASK_COMPLETION_PRICE": 10.0}
    settings = settings_of(servers[0], **prices)
    counter = UsageCounter(settings.prompt_price, settings.completion_price)
    await streamed(settings, counter)
    usage = counter.usage
    assert (usage.requests, usage.is_estimated, usage.completion_tokens) == (1, False, 6)
    assert usage.cost == pytest.approx((usage.prompt_tokens * 2 + 6 * 10) / 1e6)
    servers[0].reports_usage = False
    await streamed(settings, counter)
    assert counter.usage.requests == 2 and counter.usage.is_estimated
    assert counter.usage.completion_tokens == 6 + 6


async def test_the_key_is_sent_and_local_servers_need_none(servers: tuple[ModelServer, ModelServer]) -> None:
    servers[0].key = SECRET
    assert text_of(await streamed(settings_of(servers[0]))) == ANSWER
    with pytest.raises(ModelError, match="refuses the API key"):
        await streamed(settings_of(servers[0], DARKROOM_ASK_MODEL_KEY="wrong"))
    servers[1].key = ""
    assert text_of(await streamed(settings_of(servers[1], DARKROOM_ASK_MODEL_KEY=""))) == ANSWER


async def test_closing_the_stream_ends_the_request(servers: tuple[ModelServer, ModelServer]) -> None:
    async with ModelClient(settings_of(servers[0])) as client:
        stream = client.stream(MESSAGES, client.new_counter())
        await anext(stream)
        await stream.aclose()
        assert text_of([event async for event in client.stream(MESSAGES, client.new_counter())]) == ANSWER

"""Answers in OpenAI's form, as an unmodified `openai` client and a client of Sonar read them."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from bot.connectors.web.openai_api.chunks import BEGINS_ANEW, ChunkStream
from bot.connectors.web.openai_api.completion import completion
from storage.contract.ask import Answer
from storage.contract.progress import Progress
from tests.trainer.ask.answer import asks, events_of, finished, retrieval_of
from trainer.kinds.ask import LiveAnswer

QUESTION = "How many rooms does the Harbour Museum have?"
READING = [{"title": "Harbour Museum", "url": "https://harbour.example/page", "site": "harbour.example"}]


async def museum() -> Answer:
    return finished(await events_of(retrieval_of("guide", "harbour"), asks(QUESTION))).answer


def streamed(answer: Answer, texts: list[str], mode: Any = "", include_usage: bool = False) -> list[dict[str, Any]]:
    """The chunks of an answer whose text was seen like this on the way."""
    stream = ChunkStream("id", "darkroom", mode, include_usage)
    chunks = [stream.begin()]
    for text in texts:
        chunks += stream.add(Progress(job="1", phase="writing", live={"text": text, "sources": READING}))
    return [*chunks, *stream.end(answer)]


def text_of(chunks: list[dict[str, Any]]) -> str:
    return "".join(choice["delta"].get("content", "") for chunk in chunks for choice in chunk["choices"])


async def test_a_whole_answer_is_a_chat_completion_with_sonars_and_openrouters_fields() -> None:
    answer = await museum()
    body = completion(answer, "id", "darkroom")
    read = ChatCompletion.model_validate(body)
    content = read.choices[0].message.content
    assert content == answer.text and read.choices[0].finish_reason == "stop"
    numbers = answer.numbers
    assert body["citations"][numbers["harbour"] - 1] == "https://harbour.example/page"
    assert body["search_results"][numbers["guide"] - 1]["date"] == "2024-01-10"
    for note in read.choices[0].message.annotations:
        cited = note.url_citation
        marker = content[cited.start_index : cited.end_index]
        assert body["citations"][int(marker[1:-1]) - 1] == cited.url


async def test_a_streamed_answer_has_sources_first_and_one_end() -> None:
    answer = await museum()
    chunks = streamed(answer, ["", answer.text[:10], answer.text[:30]], include_usage=True)
    read = [ChatCompletionChunk.model_validate(chunk) for chunk in chunks]
    assert chunks[1]["search_results"] and read[-1].choices == [] and read[-1].usage
    assert text_of(chunks) == answer.text
    assert [c.choices[0].finish_reason for c in read if c.choices and c.choices[0].finish_reason] == ["stop"]
    assert chunks[-2]["citations"]


async def test_spans_of_a_stream_that_began_anew_fit_what_was_sent() -> None:
    answer = await museum()
    chunks = streamed(answer, ["Another model said this", "", answer.text[:12]])
    text = text_of(chunks)
    assert BEGINS_ANEW in text and text.endswith(answer.text)
    notes = chunks[-1]["choices"][0]["delta"]["annotations"]
    assert notes
    for note in notes:
        cited = note["url_citation"]
        assert text[cited["start_index"] : cited["end_index"]] in ("[1]", "[2]")


@pytest.mark.parametrize("mode", ["full", "concise"])
async def test_sonars_two_ways_to_stream(mode: str) -> None:
    answer = await museum()
    chunks = streamed(answer, ["", answer.text[:12]], mode)
    first_text = next(chunk for chunk in chunks if text_of([chunk]))
    if mode == "full":
        assert first_text["choices"][0]["message"]["content"] == answer.text[:12]
    else:
        assert not any("search_results" in chunk for chunk in chunks[:-1])
        assert chunks[-1]["object"] == "chat.completion.done"
    assert chunks[-1]["choices"][0]["message"]["content"] == answer.text
    assert chunks[-1]["search_results"] and chunks[-1]["usage"]


@given(st.lists(st.text("ab[1] ", max_size=6), max_size=5), st.text("ab[1] ", min_size=1, max_size=6))
def test_whatever_was_seen_on_the_way_the_answer_is_whole_at_the_end(texts: list[str], last: str) -> None:
    chunks = streamed(Answer(text=last), texts)
    sent = text_of(chunks)
    assert last in sent.rpartition(BEGINS_ANEW)[2]


async def test_numbers_on_the_way_mean_the_same_sources_as_at_the_end() -> None:
    events = await events_of(retrieval_of("guide", "harbour"), asks(QUESTION))
    live, stream = LiveAnswer(), ChunkStream("id", "darkroom")
    chunks = [stream.begin()]
    for event in events[:-1]:
        live.add(event)
        chunks += stream.add(Progress(job="1", phase="writing", live=json.loads(json.dumps(live.as_json()))))
    last = list(stream.end(finished(events).answer))[-1]
    on_the_way = [chunk for chunk in chunks if chunk.get("citations")]
    assert on_the_way and last["citations"]
    for chunk in on_the_way:
        assert [r["url"] for r in chunk["search_results"]] == chunk["citations"]
        assert all(one in ("", other) for one, other in zip(chunk["citations"], last["citations"], strict=False))

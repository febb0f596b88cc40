"""Answers in OpenAI's form, as an unmodified `openai` client and a client of Sonar read them."""

from openai.types.chat import ChatCompletion, ChatCompletionChunk

from tests.trainer.ask.answer import asks, events_of, finished, retrieval_of
from trainer.ask.answer.export import BEGINS_ANEW, completion, completion_chunks
from trainer.ask.answer.request import TextRestarted

QUESTION = "How many rooms does the Harbour Museum have?"


async def test_a_whole_answer_is_a_chat_completion_with_sonars_and_openrouters_fields() -> None:
    answer = finished(await events_of(retrieval_of("guide", "harbour"), asks(QUESTION))).answer
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
    events = await events_of(retrieval_of("guide", "harbour"), asks(QUESTION))

    async def again():
        for event in events:
            yield event

    chunks = [chunk async for chunk in completion_chunks(again(), "id", "darkroom", include_usage=True)]
    read = [ChatCompletionChunk.model_validate(chunk) for chunk in chunks]
    assert chunks[1]["search_results"] and read[-1].choices == [] and read[-1].usage
    text = "".join(chunk.choices[0].delta.content or "" for chunk in read if chunk.choices)
    answer = finished(events).answer
    assert text == answer.text
    assert [c.choices[0].finish_reason for c in read if c.choices and c.choices[0].finish_reason] == ["stop"]
    assert chunks[-2]["citations"]


async def test_spans_of_a_stream_that_began_anew_fit_what_was_sent() -> None:
    events = await events_of(retrieval_of("guide", "harbour"), asks(QUESTION))

    async def restarted():
        for event in [*events[:-1], TextRestarted(), *events[2:]]:
            yield event

    chunks = [chunk async for chunk in completion_chunks(restarted(), "id", "darkroom")]
    text = "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks)
    assert BEGINS_ANEW in text
    for note in chunks[-1]["choices"][0]["delta"]["annotations"]:
        cited = note["url_citation"]
        assert text[cited["start_index"] : cited["end_index"]] in ("[1]", "[2]")

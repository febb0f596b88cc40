"""An answer in the form of OpenAI's chat completions, with Sonar's and OpenRouter's fields for its sources.

`citations` and `search_results` are Sonar's (https://docs.perplexity.ai/api-reference/chat-completions-post): entry n-1
is the source of `[n]`. `annotations` are OpenRouter's and OpenAI's `url_citation`, with the span of each marker.
"""

import time
from typing import Any

from storage.contract.ask import Answer, Citation, Source

Json = dict[str, Any]


def completion(answer: Answer, id_: str, model: str) -> Json:
    """The whole answer as a `chat.completion`."""
    message: Json = {"role": "assistant", "content": answer.text, "annotations": annotations(answer)}
    choice = {"index": 0, "finish_reason": "stop", "logprobs": None, "message": message}
    body = envelope(id_, model, "chat.completion", int(time.time())) | {"choices": [choice], "usage": usage(answer)}
    return body | sources_fields(answer)


def sources_fields(answer: Answer) -> Json:
    """Sonar's fields. Numbers that this answer does not cite, in a thread, have their places, too."""
    fields: Json = {"citations": _urls(answer), "search_results": _results(answer)}
    return fields | ({"related_questions": list(answer.related_questions)} if answer.related_questions else {})


def _numbered(answer: Answer) -> list[Source | None]:
    """Sources by their numbers, from 1 on; None for one of the thread that this answer has not read."""
    sources = {source.id: source for source in answer.sources}
    by_number = {number: sources.get(id_) for id_, number in answer.numbers.items()}
    return [by_number.get(number) for number in range(1, max(by_number, default=0) + 1)]


def _urls(answer: Answer) -> list[str]:
    return [source.url if source else "" for source in _numbered(answer)]


def _results(answer: Answer) -> list[Json]:
    return [search_result(source) if source else {"title": "", "url": "", "date": None} for source in _numbered(answer)]


def search_result(source: Source) -> Json:
    """One of Sonar's `search_results`."""
    return {
        "title": source.title,
        "url": source.url,
        "date": str(source.published) if source.published else None,
        "last_updated": str(source.updated) if source.updated else None,
        "snippet": source.snippet,
        "source": "web" if source.kind == "web" else "attachment",
    }


def annotations(answer: Answer, offset: int = 0) -> list[Json]:
    """A `url_citation` for each marker; `offset` is where the answer begins in what was sent."""
    sources = {source.id: source for source in answer.sources}
    return [
        _annotation(each, sources[each.source_id], offset) for each in answer.citations if each.source_id in sources
    ]


def _annotation(citation: Citation, source: Source, offset: int) -> Json:
    where = {"start_index": citation.start + offset, "end_index": citation.end + offset}
    cited = {"url": source.url, "title": source.title, "content": source.snippet}
    return {"type": "url_citation", "url_citation": cited | where}


def usage(answer: Answer) -> Json:
    """Tokens of the models, and their cost where prices are set."""
    used = answer.usage
    counts: Json = {"prompt_tokens": used.prompt_tokens, "completion_tokens": used.completion_tokens}
    counts["total_tokens"] = used.prompt_tokens + used.completion_tokens
    return counts if used.cost is None else counts | {"cost": {"total_cost": used.cost}}


def envelope(id_: str, model: str, kind: str, created_s: int) -> Json:
    """The fields that every object of the API begins with."""
    return {"id": id_, "object": kind, "created": created_s, "model": model}

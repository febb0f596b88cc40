"""OpenAI-style endpoints that search: Perplexity's Sonar, and OpenRouter's server tool `openrouter:web_search`.

Only their sources are taken; the text that they write is not. https://docs.perplexity.ai/api-reference and
https://openrouter.ai/docs/features/web-search
"""

from datetime import date
from typing import Any

import aiohttp

from storage.contract.ask import AskFilters
from storage.failures import Failure
from trainer.ask.filters import day_of
from trainer.ask.search.provider import Search, SearchAnswer, SearchResult, request_json, text_of
from trainer.ask.search.refusals import SearchError

WEB_SEARCH_TOOL = "openrouter:web_search"
INSTRUCTION = "Search the web for this, and list what the pages say, in a few words each:\n\n"


class Sonar:
    """A chat completions endpoint whose answers carry the pages that were found."""

    has_academic_mode = True

    def __init__(
        self, session: aiohttp.ClientSession, base_url: str, key: str, model: str, tool: str, timeout_s: float
    ) -> None:
        self._session, self._key, self._model, self._tool, self._timeout_s = session, key, model, tool, timeout_s
        self._url = base_url.rstrip("/").removesuffix("/chat/completions") + "/chat/completions"
        self.name = "OpenRouter" if tool else "Sonar"

    async def search(self, search: Search) -> SearchAnswer:
        """Search; raises SearchError."""
        body: dict[str, Any] = {
            "model": self._model,
            "messages": [{"role": "user", "content": INSTRUCTION + search.words}],
            "max_tokens": 400,
            **(tool_parameters(self._tool, search) if self._tool else sonar_parameters(search)),
        }
        headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        answer = await request_json(self._session, "POST", self._url, self._timeout_s, json=body, headers=headers)
        if "error" in answer and "choices" not in answer:
            raise SearchError("it answered with an error", Failure.UNKNOWN)
        return SearchAnswer(tuple(results_of(answer)))


def sonar_parameters(search: Search) -> dict[str, Any]:
    """Filters under Perplexity's names. It takes allowed domains or denied ones, so allowed ones go first."""
    filters = search.filters
    domains = filters.allowed_domains or tuple(f"-{domain}" for domain in filters.denied_domains)
    fields: dict[str, Any] = {
        "search_domain_filter": list(domains),
        "search_language_filter": list(filters.languages),
        "search_recency_filter": filters.recency,
        "search_after_date_filter": _american(filters.after),
        "search_before_date_filter": _american(filters.before),
        "last_updated_after_filter": _american(filters.updated_after),
        "last_updated_before_filter": _american(filters.updated_before),
        "search_mode": "academic" if filters.mode == "academic" else None,
        "web_search_options": {"search_context_size": filters.size},
    }
    return {name: value for name, value in fields.items() if value}


def tool_parameters(tool: str, search: Search) -> dict[str, Any]:
    """The server tool with its parameters: allowed domains exclude denied ones."""
    filters: AskFilters = search.filters
    parameters: dict[str, Any] = {"max_results": search.results}
    if filters.allowed_domains:
        parameters["allowed_domains"] = list(filters.allowed_domains)
    elif filters.denied_domains:
        parameters["excluded_domains"] = list(filters.denied_domains)
    return {"tools": [{"type": tool, "parameters": parameters}]}


def results_of(answer: dict[str, Any]) -> list[SearchResult]:
    """Pages of an answer: `search_results`, else annotations of its message, else bare `citations`."""
    results = [_from_search_result(each) for each in _dicts(answer.get("search_results"))]
    if not results:
        messages = [choice.get("message") for choice in _dicts(answer.get("choices"))]
        annotations = [a for message in _dicts(messages) for a in _dicts(message.get("annotations"))]
        results = [_from_annotation(each) for each in annotations if isinstance(each.get("url_citation"), dict)]
    if not results and isinstance(citations := answer.get("citations"), list):
        results = [SearchResult(url, "") for url in citations if isinstance(url, str)]
    return results


def _from_search_result(fields: dict[str, Any]) -> SearchResult:
    return SearchResult(
        url=str(fields.get("url") or ""),
        title=text_of(fields.get("title"), 300),
        snippet=text_of(fields.get("snippet")),
        published=day_of(fields.get("date")),
        updated=day_of(fields.get("last_updated")),
    )


def _from_annotation(fields: dict[str, Any]) -> SearchResult:
    citation = fields["url_citation"]
    return SearchResult(
        str(citation.get("url") or ""), text_of(citation.get("title"), 300), text_of(citation.get("content"))
    )


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _american(day: date | None) -> str:
    return day.strftime("%m/%d/%Y") if day else ""

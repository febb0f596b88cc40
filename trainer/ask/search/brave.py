"""Brave's Web Search API (https://api-dashboard.search.brave.com/app/documentation/web-search)."""

from datetime import UTC, date, datetime
from typing import Any

import aiohttp

from storage.contract.ask import AskFilters, Recency
from trainer.ask.filters import day_of
from trainer.ask.search.provider import Search, SearchAnswer, SearchResult, request_json, text_of
from trainer.ask.search.searxng import site_operators

WORDS_MAX, CHARACTERS_MAX, RESULTS_MAX = 50, 400, 20  # limits of the API
FRESHNESS: dict[Recency, str] = {"hour": "pd", "day": "pd", "week": "pw", "month": "pm", "year": "py"}


class Brave:
    """Brave Search with a key of an operator."""

    name = "Brave"
    has_academic_mode = False

    def __init__(self, session: aiohttp.ClientSession, url: str, key: str, timeout_s: float) -> None:
        self._session, self._url, self._key, self._timeout_s = session, url, key, timeout_s

    async def search(self, search: Search) -> SearchAnswer:
        """Search; raises SearchError."""
        headers = {"X-Subscription-Token": self._key, "Accept": "application/json"}
        answer = await request_json(
            self._session, "GET", self._url, self._timeout_s, params=parameters(search), headers=headers
        )
        web = answer.get("web")
        results = web.get("results") if isinstance(web, dict) else None
        return SearchAnswer(
            tuple(_result(each) for each in results if isinstance(each, dict)) if isinstance(results, list) else ()
        )


def parameters(search: Search) -> dict[str, str]:
    """The query of a search, within the API's limits."""
    operators = site_operators(search.filters)
    words = " ".join(search.words.split()[: WORDS_MAX - operators.count(" ")])
    query = {
        "q": words[: CHARACTERS_MAX - len(operators)] + operators,
        "count": str(min(search.results, RESULTS_MAX)),
        "text_decorations": "false",
        "extra_snippets": "true",
    }
    if len(search.filters.languages) == 1:
        query["search_lang"] = search.filters.languages[0]
    if freshness := _freshness(search.filters):
        query["freshness"] = freshness
    return query


def _freshness(filters: AskFilters) -> str:
    if filters.recency:
        return FRESHNESS[filters.recency]
    if filters.after or filters.before:
        first, last = filters.after or date(1990, 1, 1), filters.before or datetime.now(UTC).date()
        return f"{first}to{last}"
    return ""


def _result(fields: dict[str, Any]) -> SearchResult:
    extra = fields.get("extra_snippets")
    snippets = [fields.get("description"), *(extra if isinstance(extra, list) else [])]
    return SearchResult(
        url=str(fields.get("url") or ""),
        title=text_of(fields.get("title"), 300),
        snippet=text_of(" ".join(text_of(each) for each in snippets)),
        published=day_of(fields.get("page_age")),
    )

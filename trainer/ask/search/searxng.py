"""SearXNG's JSON API (https://docs.searxng.org/dev/search_api.html)."""

from typing import Any

import aiohttp

from storage.contract.ask import AskFilters, Recency
from trainer.ask.filters import day_of
from trainer.ask.search.provider import (
    EngineRefusal,
    Search,
    SearchAnswer,
    SearchResult,
    request_json,
    text_of,
)
from trainer.ask.search.refusals import engine_reason

OPERATORS_MAX = 8  # of each kind in one search: engines take queries of some thirty words
TIME_RANGES: dict[Recency, str] = {"hour": "day", "day": "day", "week": "month", "month": "month", "year": "year"}


class SearXNG:
    """A SearXNG instance. It needs `json` in `search.formats` of its settings, and no limiter for this client."""

    name = "SearXNG"
    has_academic_mode = True

    def __init__(self, session: aiohttp.ClientSession, url: str, timeout_s: float) -> None:
        self._session, self._timeout_s = session, timeout_s
        self._url = url.rstrip("/").removesuffix("/search") + "/search"

    async def search(self, search: Search) -> SearchAnswer:
        """Search; raises SearchError."""
        answer = await request_json(self._session, "GET", self._url, self._timeout_s, params=parameters(search))
        results, refused = answer.get("results"), answer.get("unresponsive_engines")
        return SearchAnswer(
            tuple(_result(each) for each in results if isinstance(each, dict)) if isinstance(results, list) else (),
            tuple(_refusal(each) for each in refused if _is_pair(each)) if isinstance(refused, list) else (),
        )


def parameters(search: Search) -> dict[str, str]:
    """The query of a search: SearXNG's own parameters, and `site:` for engines that know it."""
    filters = search.filters
    query = {"q": search.words + site_operators(filters), "format": "json", "pageno": "1"}
    if filters.mode == "academic":
        query["categories"] = "science"
    if len(filters.languages) == 1:
        query["language"] = filters.languages[0]
    if filters.recency:
        query["time_range"] = TIME_RANGES[filters.recency]
    return query


def site_operators(filters: AskFilters) -> str:
    """Domain rules in the operators that most engines know; our own filter has the last word."""
    allowed = " OR ".join(f"site:{domain.lstrip('.')}" for domain in filters.allowed_domains[:OPERATORS_MAX])
    denied = [f"-site:{domain.lstrip('.')}" for domain in filters.denied_domains[:OPERATORS_MAX]]
    return "".join(f" {operator}" for operator in (allowed, *denied) if operator)


def _result(fields: dict[str, Any]) -> SearchResult:
    return SearchResult(
        url=str(fields.get("url") or ""),
        title=text_of(fields.get("title"), 300),
        snippet=text_of(fields.get("content")),
        published=day_of(fields.get("publishedDate")),
    )


def _is_pair(entry: Any) -> bool:
    return isinstance(entry, list | tuple) and len(entry) >= 2


def _refusal(entry: Any) -> EngineRefusal:
    return EngineRefusal(text_of(entry[0], 60), engine_reason(str(entry[1])))

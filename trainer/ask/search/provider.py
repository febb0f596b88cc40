"""What a search provider is: it takes a search and gives results, or says that it was refused."""

import json
import re
from dataclasses import dataclass, field
from datetime import date
from html import unescape
from typing import Any, Protocol

import aiohttp

from storage.contract.ask import AskFilters
from storage.failures import Failure
from trainer.ask.search.refusals import SearchError, refusal_of, refusal_of_status

ANSWER_MAX_BYTES = 4 * 2**20
MARKUP = re.compile(r"</?[a-zA-Z][^<>]{0,80}>")


@dataclass(frozen=True)
class Search:
    """What to search for, and the filters that a provider passes on as far as it knows them."""

    words: str
    filters: AskFilters = field(default_factory=AskFilters)
    results: int = 10  # wanted


@dataclass(frozen=True)
class SearchResult:
    """One hit. `snippet` is what the engine quotes; dates are as it says."""

    url: str
    title: str
    snippet: str = ""
    published: date | None = None
    updated: date | None = None


@dataclass(frozen=True)
class EngineRefusal:
    """An engine behind a provider that did not answer, and why."""

    engine: str
    reason: str


@dataclass(frozen=True)
class SearchAnswer:
    """Results in the provider's order, and the engines that gave none because they refused."""

    results: tuple[SearchResult, ...] = ()
    refusals: tuple[EngineRefusal, ...] = ()


class SearchProvider(Protocol):
    """A search engine, or a service that asks several."""

    name: str  # as people know it
    has_academic_mode: bool

    async def search(self, search: Search) -> SearchAnswer:
        """Search; raises SearchError where the provider refuses or does not answer."""


async def request_json(
    session: aiohttp.ClientSession, method: str, url: str, timeout_s: float, **options: Any
) -> dict[str, Any]:
    """Ask a provider, and read its JSON; raises SearchError. Redirects are not followed: keys are in the request."""
    timeout = aiohttp.ClientTimeout(total=timeout_s)
    try:
        async with session.request(method, url, timeout=timeout, allow_redirects=False, **options) as response:
            if response.status != 200:
                raise refusal_of_status(response.status)
            body = await response.content.read(ANSWER_MAX_BYTES)
            while len(body) < ANSWER_MAX_BYTES and (more := await response.content.read(ANSWER_MAX_BYTES)):
                body += more
        answer = _parsed(body)
    except (aiohttp.ClientError, OSError) as error:
        raise refusal_of(error) from error
    if not isinstance(answer, dict):
        raise SearchError("what answers there does not speak its protocol", Failure.PERMANENT)
    return answer


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def text_of(value: Any, max_characters: int = 2000) -> str:
    """A field of an answer as text without markup; empty if it is none."""
    if not isinstance(value, str):
        return ""
    text = unescape(MARKUP.sub("", value)).encode(errors="replace").decode()  # no lone surrogates
    return " ".join(text.split())[:max_characters]

"""Search providers against servers that speak their protocols, and what a refusal means."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import date
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from storage.ask.filter_input import read_filters
from storage.contract.ask import AskFilters
from storage.errors import SetupError
from storage.failures import Failure
from storage.settings.ask import AskSettings
from trainer.ask.search.brave import Brave
from trainer.ask.search.failover import NO_ACADEMIC_MODE, FailoverSearch
from trainer.ask.search.open import open_search
from trainer.ask.search.provider import Search
from trainer.ask.search.refusals import SearchError, refusal_of_status
from trainer.ask.search.searxng import SearXNG
from trainer.ask.search.sonar import WEB_SEARCH_TOOL, Sonar

KEY = "key-that-nobody-may-see"
Answer = Callable[[web.Request, Any], tuple[int, Any]]


@asynccontextmanager
async def service(answer: Answer) -> AsyncIterator[tuple[str, aiohttp.ClientSession, list[tuple[web.Request, Any]]]]:
    """A server whose answers are made by a function: its URL, a client, and what it was asked."""
    requests: list[tuple[web.Request, Any]] = []

    async def handle(request: web.Request) -> web.Response:
        body = await request.json() if request.can_read_body else None
        requests.append((request, body))
        status, said = answer(request, body)
        text = said if isinstance(said, str) else json.dumps(said)
        return web.Response(status=status, text=text, content_type="application/json")

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    async with aiohttp.ClientSession() as session:
        yield f"http://127.0.0.1:{port}", session, requests
    await runner.cleanup()


async def test_brave_is_asked_within_its_limits_and_its_dates_and_extracts_are_taken() -> None:
    result = {
        "url": "https://a.example/x", "title": "A <strong>title</strong>", "description": "One &amp; two",
        "extra_snippets": ["three"], "page_age": "2026-02-03T04:05:06",
    }  # fmt: skip
    async with service(lambda request, body: (200, {"web": {"results": [result, "junk"]}})) as (url, session, asked):
        filters = read_filters(domains="a.example -b.example", recency="week", language="de")
        answer = await Brave(session, f"{url}/res/v1/web/search", KEY, 5).search(Search("word " * 100, filters))
    (found,) = answer.results
    assert (found.title, found.snippet, found.published) == ("A title", "One & two three", date(2026, 2, 3))
    ((request, _),) = asked
    assert request.headers["X-Subscription-Token"] == KEY
    query = request.query
    assert len(query["q"]) <= 400 and len(query["q"].split()) <= 50
    assert query["q"].endswith("site:a.example -site:b.example")
    assert (query["freshness"], query["search_lang"]) == ("pw", "de")


async def test_sonar_is_sent_its_filters_and_gives_search_results_or_bare_citations() -> None:
    full = {"search_results": [{"title": "T", "url": "https://a.example/", "date": "2026-01-02", "snippet": "s"}]}
    bare = {"citations": ["https://b.example/"], "choices": [{"message": {"content": "x [1]"}}]}
    answers = iter([full, bare])
    filters = read_filters(domains="-b.example", after="2026-05-31", mode="academic", size="high", recency="month")
    async with service(lambda request, body: (200, next(answers))) as (url, session, asked):
        sonar = Sonar(session, url, KEY, "sonar-pro", "", 5)
        first, second = await sonar.search(Search("q", filters)), await sonar.search(Search("q"))
    assert [(r.url, r.published) for r in first.results] == [("https://a.example/", date(2026, 1, 2))]
    assert [r.url for r in second.results] == ["https://b.example/"]
    request, body = asked[0]
    assert request.path == "/chat/completions" and request.headers["Authorization"] == f"Bearer {KEY}"
    assert body["search_domain_filter"] == ["-b.example"] and body["search_after_date_filter"] == "05/31/2026"
    assert body["search_mode"] == "academic" and body["search_recency_filter"] == "month"
    assert body["web_search_options"] == {"search_context_size": "high"}
    assert "search_domain_filter" not in asked[1][1]


async def test_openrouters_server_tool_gives_annotations() -> None:
    citation = {"url": "https://a.example/", "title": "T", "content": "c", "start_index": 0, "end_index": 3}
    message = {"content": "x", "annotations": [{"type": "url_citation", "url_citation": citation}]}
    async with service(lambda request, body: (200, {"choices": [{"message": message}]})) as (url, session, asked):
        search = Search("q", read_filters(domains="a.example"), 7)
        answer = await Sonar(session, f"{url}/api/v1", KEY, "m", WEB_SEARCH_TOOL, 5).search(search)
    assert [(r.url, r.snippet) for r in answer.results] == [("https://a.example/", "c")]
    parameters = {"max_results": 7, "allowed_domains": ["a.example"]}
    assert asked[0][1]["tools"] == [{"type": WEB_SEARCH_TOOL, "parameters": parameters}]


@pytest.mark.parametrize(
    ("status", "failure"),
    [(401, Failure.PERMANENT), (402, Failure.PERMANENT), (403, Failure.PERMANENT), (404, Failure.PERMANENT),
     (422, Failure.PERMANENT), (429, Failure.OUTAGE), (500, Failure.OUTAGE), (503, Failure.OUTAGE),
     (302, Failure.UNKNOWN), (418, Failure.UNKNOWN)],
)  # fmt: skip
async def test_a_refusal_is_of_its_kind_and_names_no_key(status: int, failure: Failure) -> None:
    async with service(lambda request, body: (status, {"error": KEY})) as (url, session, _):
        for provider in (SearXNG(session, url, 5), Brave(session, url, KEY, 5), Sonar(session, url, KEY, "m", "", 5)):
            with pytest.raises(SearchError) as raised:
                await provider.search(Search("q"))
            assert raised.value.failure is failure
            assert KEY not in raised.value.reason
            assert raised.value.reason == refusal_of_status(status).reason


@pytest.mark.parametrize("said", ["no JSON", "[1, 2]", '"text"'])
async def test_what_does_not_speak_the_protocol_is_refused(said: str) -> None:
    async with service(lambda request, body: (200, said)) as (url, session, _):
        with pytest.raises(SearchError):
            await SearXNG(session, url, 5).search(Search("q"))


@pytest.mark.parametrize("said", [{}, {"results": None}, {"results": [1, {"url": None}], "unresponsive_engines": [1]}])
async def test_an_answer_with_fields_missing_has_no_results(said: Any) -> None:
    async with service(lambda request, body: (200, said)) as (url, session, _):
        answer = await SearXNG(session, url, 5).search(Search("q"))
    assert not [result for result in answer.results if result.url]


async def test_the_next_provider_is_asked_and_who_refused_is_said() -> None:
    def answer(request: web.Request, body: Any) -> tuple[int, Any]:
        if request.path == "/search":
            return 403, {}
        if "X-Subscription-Token" in request.headers:
            return 429, {}
        return 200, {"citations": ["https://a.example/"]}

    async with service(answer) as (url, session, asked):
        providers = [SearXNG(session, url, 5), Brave(session, f"{url}/b", KEY, 5), Sonar(session, url, KEY, "m", "", 5)]
        search = FailoverSearch(providers)
        found = await search.search(Search("q"))
        again = await search.search(Search("q"))
    assert [result.url for result in found.results] == ["https://a.example/"]
    assert "SearXNG (it refused access" in found.notices[0] and "Brave (too many requests)" in found.notices[0]
    assert not again.notices, "those that refused are asked last for a while"
    assert len(asked) == 4


async def test_when_all_refuse_nobody_says_that_there_is_nothing() -> None:
    async with service(lambda request, body: (401, {})) as (url, session, _):
        found = await FailoverSearch([Brave(session, url, KEY, 5)]).search(Search("q"))
    assert found.notices == ("The search engines refused: Brave (its key was refused).",)


async def test_a_provider_that_is_down_or_slow_is_an_outage() -> None:
    async with aiohttp.ClientSession() as session:
        with pytest.raises(SearchError) as raised:
            await SearXNG(session, "http://127.0.0.1:1", 5).search(Search("q"))
    assert raised.value.failure is Failure.OUTAGE


async def test_academic_mode_goes_to_those_that_have_it() -> None:
    async with service(lambda request, body: (200, {"web": {"results": []}})) as (url, session, asked):
        both = FailoverSearch([Brave(session, url, KEY, 5), SearXNG(session, url, 5)])
        await both.search(Search("q", AskFilters(mode="academic")))
        assert [request.query.get("categories") for request, _ in asked] == ["science"]
        found = await FailoverSearch([Brave(session, url, KEY, 5)]).search(Search("q", AskFilters(mode="academic")))
    assert NO_ACADEMIC_MODE in found.notices


async def test_providers_come_from_settings_alone_in_their_order() -> None:
    settings = AskSettings(
        DARKROOM_ASK_SEARCH="sonar, brave, searxng", DARKROOM_ASK_SEARXNG_URL="http://s.example",
        DARKROOM_ASK_BRAVE_KEY=KEY, DARKROOM_ASK_SONAR_URL="https://openrouter.example/api/v1",
        DARKROOM_ASK_SONAR_TOOL=WEB_SEARCH_TOOL,
    )  # fmt: skip
    async with aiohttp.ClientSession() as session:
        names = [provider.name for provider in open_search(settings, session).providers]
        assert names == ["OpenRouter", "Brave", "SearXNG"]
        assert open_search(AskSettings(), session).providers == ()
        with pytest.raises(SetupError, match="“bing”"):
            open_search(AskSettings(DARKROOM_ASK_SEARCH="bing"), session)
    assert KEY not in repr(settings)


@pytest.mark.parametrize("status", [400, 414, 422])
async def test_a_search_that_is_not_taken_does_not_pause_its_provider_for_others(status: int) -> None:
    def answer(request: web.Request, body: Any) -> tuple[int, Any]:
        if request.path.endswith("/search"):
            return (status, {}) if request.query["q"] == "odd" else (200, {"results": [{"url": "https://a.example/"}]})
        return 200, {"web": {"results": [{"url": "https://b.example/", "title": "B"}]}}

    async with service(answer) as (url, session, asked):
        search = FailoverSearch([SearXNG(session, url, 5), Brave(session, f"{url}/b", KEY, 5)])
        odd = await search.search(Search("odd"))
        usual = await search.search(Search("usual"))
    assert odd.results[0].url == "https://b.example/" and "SearXNG (it does not take" in odd.notices[0]
    assert usual.results[0].url == "https://a.example/" and not usual.notices and len(asked) == 3

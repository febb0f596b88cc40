"""Retrieval over a small web of some 200 pages, through a SearXNG: the real client, fetcher, extractor and ranking."""

from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from storage.ask.filter_input import read_filters
from storage.contract.ask import AskFilters, Source
from storage.objects.folder import FolderStore
from storage.settings.ask import AskSettings
from tests.servers.searxng import SearXNGServer, searxng_server
from tests.servers.web import LoopbackResolver, WebServer, web_server
from tests.servers.web_pages.pages import CLOSED_HOST, PRIVATE
from tests.servers.web_pages.questions import KnownQuestion, all_questions
from trainer.ask.retrieval import Query, Retrieval
from trainer.ask.retrieve import NO_PROVIDER, NOT_ADMITTED, Retriever

QUESTIONS = all_questions()
A_FEW = [question for question in QUESTIONS if question.kind != "slow"][::9]


@pytest.fixture(scope="module")
def web() -> Iterator[WebServer]:
    with web_server() as server:
        yield server


@pytest.fixture
def searxng(web: WebServer) -> Iterator[SearXNGServer]:
    with searxng_server(web) as server:
        yield server
        assert server.violations == []


@pytest.fixture
async def retriever(searxng: SearXNGServer, tmp_path: Path) -> AsyncIterator[Retriever]:
    settings = AskSettings(
        DARKROOM_ASK_SEARXNG_URL=searxng.url, DARKROOM_ASK_ALLOWED_HOSTS="127.0.0.0/8", DARKROOM_ASK_PAGE_TIMEOUT_S=30
    )
    opened = Retriever(settings, FolderStore(tmp_path / "store"), LoopbackResolver())
    yield opened
    await opened.close()


async def ask(retriever: Retriever, text: str, filters: AskFilters | None = None) -> tuple[Retrieval, list[Source]]:
    """What is found, and what was announced meanwhile."""
    announced: list[Source] = []
    found = await retriever.retrieve(Query(text, filters or AskFilters()), announced.append)
    assert {passage.source_id for passage in found.passages} == {source.id for source in found.sources}
    return found, announced


def is_among_first(question: KnownQuestion, found: Retrieval, web: WebServer, count: int = 3) -> bool:
    names = {source.id: web.name(source.url) for source in found.sources}
    first = found.passages[:count]
    return any(question.answer in passage.text and names[passage.source_id] in question.support for passage in first)


async def share_found(retriever: Retriever, web: WebServer, questions: list[KnownQuestion]) -> float:
    answerable = [question for question in questions if question.support]
    right = Counter()
    for question in answerable:
        found, _ = await ask(retriever, question.text)
        right[is_among_first(question, found, web)] += 1
    return right[True] / len(answerable)


async def test_the_right_passage_is_among_the_first_three(retriever: Retriever, web: WebServer) -> None:
    web.requests.clear()
    assert await share_found(retriever, web, A_FEW) >= 0.9
    assert CLOSED_HOST + "/" not in web.requests, "its robots.txt forbids that"


@pytest.mark.exhaustive
@pytest.mark.timeout(3000)
async def test_the_right_passage_is_among_the_first_three_of_all_questions(
    retriever: Retriever, web: WebServer
) -> None:
    known = [question for question in QUESTIONS if question.kind != "slow"]
    assert len(known) >= 150
    assert await share_found(retriever, web, known) >= 0.9


async def test_sources_are_announced_before_they_are_read_and_say_why_they_are_there(
    retriever: Retriever, web: WebServer
) -> None:
    found, announced = await ask(retriever, "How deep is Lake Ulmeda?")
    assert {web.name(source.url) for source in announced} >= {"lake-ulmeda.test/about", "atlas.test/wiki/lake-ulmeda"}
    assert len({source.id for source in announced}) == len(announced), "results with tracking parameters are the same"
    by_name = {web.name(source.url): source for source in found.sources}
    own = by_name["lake-ulmeda.test/about"]
    assert "the site of what is asked about" in own.reason
    assert own.published and own.updated and own.site.startswith("lake-ulmeda.test")
    assert not (own.stale or own.snippet_only)
    texts = [passage.text for passage in found.passages]
    assert any("147" in text for text in texts) and any("152" in text for text in texts), "both sides are heard"


async def test_a_copy_is_no_second_source(retriever: Retriever, web: WebServer) -> None:
    copied = next(page for page in web.pages.values() if page.host.startswith("mirror"))
    found, _ = await ask(retriever, f"Everything about {copied.title}")
    (original,) = [source for source in found.sources if source.copies]
    assert web.name(original.url) == copied.paragraphs[-1].rpartition(" ")[2].rstrip(".") + "/about"
    assert [web.name(url) for url in original.copies] == [copied.name]


async def test_a_page_of_years_ago_that_newer_ones_contradict_is_stale(retriever: Retriever, web: WebServer) -> None:
    stale = [question for question in QUESTIONS if question.kind == "stale"][::4]
    for question in stale:
        found, _ = await ask(retriever, question.text)
        marked = {web.name(source.url): source.stale for source in found.sources}
        assert not any(marked.get(name) for name in question.support), question.text
        assert marked.get(question.against[0], True), question.text


async def test_denied_and_other_domains_are_no_sources_even_if_engines_ignore_the_query(
    retriever: Retriever, searxng: SearXNGServer, web: WebServer
) -> None:
    searxng.knows_operators = False
    for question in A_FEW[:4]:
        for domains in ("-atlas.test", "atlas.test", "atlas.test/wiki -herald.test", "-test"):
            filters = read_filters(domains=domains)
            web.requests.clear()
            found, announced = await ask(retriever, question.text, filters)
            hosts = {name.partition("/")[0] for name in web.requests}
            hosts |= {web.name(source.url).partition("/")[0] for source in (*found.sources, *announced)}
            assert hosts <= {"atlas.test"} if filters.allowed_domains else "atlas.test" not in hosts


async def test_dates_are_checked_on_the_pages_themselves(retriever: Retriever, web: WebServer) -> None:
    found, _ = await ask(retriever, "How deep is Lake Pirrin?", read_filters(before="2019-01-01"))
    assert {web.name(source.url).partition("/")[0] for source in found.sources} == {"yesteryear.test"}
    found, _ = await ask(retriever, "How deep is Lake Pirrin?", read_filters(after="2026-01-01"))
    assert found.sources and all((s.published or s.updated).year >= 2026 for s in found.sources)
    found, _ = await ask(retriever, "How deep is Lake Pirrin?", read_filters(before="1990-01-01"))
    assert not found.sources and NOT_ADMITTED in found.notices


async def test_a_page_in_a_wrong_charset_is_read_rightly(retriever: Retriever, web: WebServer) -> None:
    for question in QUESTIONS:
        if question.kind == "charset":
            found, _ = await ask(retriever, question.text)
            name = question.text.removeprefix("How many beds does the ").removesuffix(" have?")
            assert any(f"{name} has {question.answer} beds" in passage.text for passage in found.passages), name


async def test_a_slow_page_is_its_snippet_and_marked(searxng: SearXNGServer, web: WebServer, tmp_path: Path) -> None:
    question = next(question for question in QUESTIONS if question.kind == "slow")
    settings = AskSettings(
        DARKROOM_ASK_SEARXNG_URL=searxng.url, DARKROOM_ASK_ALLOWED_HOSTS="127.0.0.0/8", DARKROOM_ASK_PAGE_TIMEOUT_S=1
    )
    retriever = Retriever(settings, FolderStore(tmp_path / "s"), LoopbackResolver())
    found, _ = await ask(retriever, question.text)
    await retriever.close()
    source = next(source for source in found.sources if web.name(source.url) in question.support)
    assert source.snippet_only and "only the search engine's extract could be read" in source.reason
    assert is_among_first(question, found, web)


async def test_redirects_into_private_networks_are_not_followed(
    retriever: Retriever, searxng: SearXNGServer, web: WebServer
) -> None:
    searxng.extra_results = [
        {"url": web.url(page), "title": page.title, "content": ""}
        for page in web.pages.values()
        if page.location in PRIVATE or page.host == "loop.test"
    ] + [{"url": url, "title": "Tickets", "content": ""} for url in PRIVATE]
    found, _ = await ask(retriever, "Tickets for Lake Orvan")
    assert all(web.name(source.url) in web.pages for source in found.sources)


async def test_hidden_orders_are_not_read_and_open_ones_are_text_like_any_other(
    retriever: Retriever, web: WebServer
) -> None:
    for name, page in web.pages.items():
        if name.startswith("helpful-") and page.hidden:
            found, _ = await ask(retriever, page.title)
            assert name in {web.name(source.url) for source in found.sources}
            (own,) = [source.id for source in found.sources if web.name(source.url) == name]
            assert not any(page.hidden in each.text for each in found.passages if each.source_id == own)


async def test_engines_that_refuse_are_named_and_nothing_is_said_to_be_missing(
    retriever: Retriever, searxng: SearXNGServer
) -> None:
    searxng.results_come = False
    searxng.unresponsive_engines = [["google", "Suspended: CAPTCHA"], ["brave", "too many requests"]]
    found, announced = await ask(retriever, "How deep is Lake Orvan?")
    assert (found.sources, found.passages, announced) == ((), (), [])
    assert found.notices == (
        "The search engines refused: google (it wants a CAPTCHA solved) and brave (too many requests).",
    )


async def test_without_a_search_provider_darkrooms_own_docs_answer(tmp_path: Path) -> None:
    retriever = Retriever(AskSettings(), FolderStore(tmp_path / "store"))
    found, announced = await ask(retriever, "How do I share a subject with a role?")
    await retriever.close()
    assert "share" in found.passages[0].text and "role" in found.passages[0].text
    assert found.notices == (NO_PROVIDER,) and announced
    assert {source.kind for source in found.sources} == {"document"}


async def test_sources_of_the_thread_are_read_beside_all_that_is_found(
    retriever: Retriever, searxng: SearXNGServer, web: WebServer
) -> None:
    known = [page for page in web.pages.values() if page.host == "atlas.test"][:6]
    sources = [Source(id=str(n), url=web.url(page), stale=True) for n, page in enumerate(known)]
    announced: list[Source] = []
    query = Query("How deep is Lake Orvan?", read_filters(size="low"), known_sources=tuple(sources))
    await retriever.retrieve(query, announced.append)
    read = [source.url for source in announced]
    found = [url for url in read if url not in {source.url for source in sources}]
    assert [url for url in read if url not in found][-1:] == [sources[4].url], "the five newest"
    assert len(found) >= 4 and not any(source.stale for source in announced)

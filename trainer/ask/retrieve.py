"""Retrieval: from a question to ranked passages with their sources, from the web or from documents."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from urllib.parse import urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver

from storage.ask.domain_rules import admits, without_www
from storage.contract.ask import AskFilters, ContextSize, Source
from storage.objects.store import Store
from storage.settings.ask import AskSettings
from storage.text import plural
from trainer.ask.documents.index import DocumentIndexes
from trainer.ask.documents.library import DocumentLibrary
from trainer.ask.filters import admits_days, admits_language
from trainer.ask.pages.address_guard import AllowedHosts
from trainer.ask.pages.extractor_pool import ExtractorPool
from trainer.ask.pages.fetch import PageFetcher
from trainer.ask.pages.read import PageReader, PageText
from trainer.ask.ranking.rank import rank
from trainer.ask.ranking.source_text import SourceText
from trainer.ask.retrieval import Query, Retrieval
from trainer.ask.search.failover import FailoverSearch
from trainer.ask.search.open import open_search
from trainer.ask.search.provider import Search, SearchResult
from trainer.ask.urls import is_web_url, normalised_url, page_key, source_id

log = logging.getLogger(__name__)

PAGES: dict[ContextSize, int] = {"low": 5, "medium": 10, "high": 20}
PASSAGES: dict[ContextSize, int] = {"low": 6, "medium": 12, "high": 24}
KNOWN_SOURCES = 5  # of earlier answers in the thread, the newest, that are read beside what is found
FRESH = {"reason": "", "snippet_only": False, "stale": False, "copies": ()}  # is found out anew each time
NO_PROVIDER = "No web search is set up here, so I have looked in documents only."
NO_SITE = "Documents are on none of the sites that the question asks for."
NOT_ADMITTED = "The search found pages, but none of them passes the filters of the question."
OnSource = Callable[[Source], None]


class Retriever:
    """Finds what answers questions; one for a process. `close` it. `resolver` resolves the names of pages' hosts."""

    def __init__(self, settings: AskSettings, store: Store, resolver: AbstractResolver | None = None) -> None:
        self._session = aiohttp.ClientSession()
        self._search: FailoverSearch = open_search(settings, self._session)
        self._extractor = ExtractorPool()
        self._fetcher = PageFetcher(
            AllowedHosts.parse(settings.allowed_hosts),
            timeout_s=settings.page_timeout_s,
            max_bytes=settings.page_max_bytes,
            resolver=resolver,
        )
        self._reader = PageReader(self._fetcher, self._extractor)
        self._library, self._indexes = DocumentLibrary(store, self._extractor), DocumentIndexes()

    async def close(self) -> None:
        """End processes and connections."""
        await self._extractor.close()
        await self._fetcher.close()
        await self._session.close()

    @property
    def has_web_search(self) -> bool:
        """Whether a search provider is set up."""
        return bool(self._search.providers)

    async def retrieve(self, query: Query, on_source: OnSource) -> Retrieval:
        """Find passages; `on_source` is called for each source as soon as it is going to be read.

        Search engines that refuse and pages that cannot be had are no errors: the notices say so. Raises StoreError.
        """
        if query.filters.mode == "documents":
            return await self._from_documents(query, on_source, [])
        if not self.has_web_search:
            return await self._from_documents(query, on_source, [NO_PROVIDER])
        return await self._from_web(query, on_source)

    async def _from_documents(self, query: Query, on_source: OnSource, notices: list[str]) -> Retrieval:
        texts, troubles = await self._library.texts(query.space, query.document_ids)
        texts, undated = admitted_documents(query.filters, texts)
        troubles += undated
        best = await asyncio.to_thread(self._indexes.best, query.question, texts)
        for text in best:
            on_source(text.source)
        return await _ranked(query, best, [*notices, *troubles])

    async def _from_web(self, query: Query, on_source: OnSource) -> Retrieval:
        wanted = PAGES[query.filters.size]
        answer = await self._search.search(Search(query.question, query.filters, 2 * wanted))
        candidates = candidate_sources(query, answer.results, wanted)
        for source in candidates:
            on_source(source)
        pages = await self._reader.read(candidates)
        admitted, notices = admitted_pages(query.filters, pages)
        if answer.results and not admitted:
            notices.append(NOT_ADMITTED)
        return await _ranked(query, admitted, [*answer.notices, *notices])


def candidate_sources(query: Query, results: Sequence[SearchResult], wanted: int) -> list[Source]:
    """Pages to be read: results of the search, each page once, and besides a few sources of earlier answers."""
    pages = (result for result in results if is_web_url(result.url))
    sources = [_source(result) for result in pages if is_web_url(normalised_url(result.url))]  # may be longer
    known = [source.model_copy(update=FRESH) for source in query.known_sources if source.kind == "web"]
    candidates: dict[str, Source] = {}
    for source in [*_admitted(query, sources)[:wanted], *_admitted(query, known)[:KNOWN_SOURCES]]:
        candidates.setdefault(page_key(source.url), source)
    return list(candidates.values())


def _admitted(query: Query, sources: Sequence[Source]) -> list[Source]:
    """Those that the domain rules admit, each page once."""
    admitted: dict[str, Source] = {}
    for source in sources:
        if admits(query.filters, source.url):
            admitted.setdefault(page_key(source.url), source)
    return list(admitted.values())


def admitted_pages(filters: AskFilters, pages: Sequence[PageText]) -> tuple[list[SourceText], list[str]]:
    """Pages that pass the filters by what they are themselves, and a sentence on those that say too little."""
    admitted: dict[str, SourceText] = {}
    undated = 0
    for page in pages:
        source = page.text.source
        day = source.published or source.updated
        if not (admits(filters, source.url) and admits_language(filters, page.language)):
            continue
        if not admits_days(filters, source):
            undated += day is None
            continue
        admitted.setdefault(source.id, page.text)  # two addresses may lead to one page
    if not undated:
        return list(admitted.values()), []
    return list(admitted.values()), [f"{plural(undated, 'page')} without a date could not be used."]


def admitted_documents(filters: AskFilters, documents: Sequence[SourceText]) -> tuple[list[SourceText], list[str]]:
    """Documents that pass the filters, and a sentence on those that cannot; they are on no site."""
    if filters.allowed_domains:
        return [], [NO_SITE]
    admitted = [each for each in documents if admits_days(filters, each.source)]
    undated = sum(not (each.source.published or each.source.updated) for each in documents)
    if len(admitted) == len(documents) or not undated:
        return admitted, []
    return admitted, [f"{plural(undated, 'document')} without a date could not be used."]


async def _ranked(query: Query, texts: Sequence[SourceText], notices: Sequence[str]) -> Retrieval:
    sources, passages = await asyncio.to_thread(rank, query.question, texts, PASSAGES[query.filters.size])
    return Retrieval(tuple(sources), tuple(passages), tuple(dict.fromkeys(notices)))


def _source(result: SearchResult) -> Source:
    url = normalised_url(result.url)
    return Source(
        id=source_id(url),
        url=url,
        title=result.title,
        site=without_www(urlsplit(url).netloc.rpartition("@")[2]),
        published=result.published,
        updated=result.updated,
        snippet=result.snippet,
    )

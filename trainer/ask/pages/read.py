"""Reading the pages that a search found: fetched and extracted at once, each with what the search says in reserve."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass

from storage.contract.ask import Source
from trainer.ask.filters import day_of
from trainer.ask.pages.errors import PageRefused
from trainer.ask.pages.extractor_pool import ExtractorPool
from trainer.ask.pages.fetch import PageFetcher
from trainer.ask.ranking.source_text import SourceText
from trainer.ask.urls import source_id

log = logging.getLogger(__name__)

AT_ONCE = 8  # pages of one question
ENOUGH, ENOUGH_S = 0.6, 3.0  # once this share of the pages is read, the rest has that many seconds


@dataclass(frozen=True)
class PageText:
    """What was read for a source, in its language if the page says it."""

    text: SourceText
    language: str = ""


class PageReader:
    """Reads pages. A page that cannot be had is its snippet, and is marked so; without one it is left out."""

    def __init__(self, fetcher: PageFetcher, extractor: ExtractorPool) -> None:
        self._fetcher, self._extractor = fetcher, extractor

    async def read(self, sources: Sequence[Source]) -> list[PageText]:
        """Texts of pages, in the order of their sources."""
        free = asyncio.Semaphore(AT_ONCE)
        tasks = [asyncio.create_task(self._read(source, rank, free)) for rank, source in enumerate(sources)]
        try:
            await _most(tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        texts = []
        for rank, (source, task) in enumerate(zip(sources, tasks, strict=True)):
            done = None if task.cancelled() else task.result()
            texts.append(done or _snippet(source, rank))
        return [text for text in texts if text]

    async def _read(self, source: Source, rank: int, free: asyncio.Semaphore) -> PageText | None:
        """The text of a page; None if it cannot be had."""
        async with free:
            try:
                page = await self._fetcher.fetch(source.url)
            except PageRefused as error:
                log.info("a page is not read: it %s", error)
                return None
            extracted = await self._extractor.extract(page.body, page.media_type, page.charset, page.url)
        if extracted.trouble:
            log.info("a page is not read: it %s", extracted.trouble)
            return None
        changes = {
            "url": page.url,
            "id": source_id(page.url),
            "title": extracted.title or source.title,
            "published": day_of(extracted.published) or source.published,
            "updated": day_of(extracted.updated) or source.updated,
        }
        whole = source.model_copy(update=changes)
        return PageText(SourceText(whole, extracted.text, rank, extracted.canonical_url), extracted.language)


def _snippet(source: Source, rank: int) -> PageText | None:
    if not source.snippet:
        return None
    return PageText(SourceText(source.model_copy(update={"snippet_only": True}), source.snippet, rank))


async def _most(tasks: "Sequence[asyncio.Task[PageText | None]]") -> None:
    """Wait for all tasks; once most are done, only for a while."""
    waiting = set(tasks)
    while waiting and len(tasks) - len(waiting) < ENOUGH * len(tasks):
        _, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    if waiting:
        await asyncio.wait(waiting, timeout=ENOUGH_S)

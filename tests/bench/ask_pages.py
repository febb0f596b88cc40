"""Retrieval over all pages for tests, from memory: what `tests.bench.ask` measures is ranking and answering."""

import asyncio
import math
from collections.abc import Callable

from storage.contract.ask import Source
from tests.servers.web_pages.held_out import HeldOutSet, held_out_pages
from tests.servers.web_pages.pages import CLOSED_HOST, Page, all_pages
from trainer.ask.ranking.rank import rank
from trainer.ask.ranking.source_text import SourceText
from trainer.ask.ranking.terms import terms
from trainer.ask.retrieval import Query, Retrieval

PAGES, PASSAGES = 10, 12
HELD_OUT: dict[str, HeldOutSet] = {
    "held out": "held_out",
    "other styles": "held_out_styles",
    "third": "held_out_third",
    "fourth": "held_out_fourth",
    "fifth": "held_out_fifth",
}


class PagesInMemory:
    """Retrieval over the pages of all sets, by the words they share with the question."""

    def __init__(self) -> None:
        everything = [*all_pages(), *(page for name in HELD_OUT.values() for page in held_out_pages(name))]
        pages = [p for p in everything if not p.location and p.host != CLOSED_HOST and not p.delay_s]
        self.texts = {page.name: page.text for page in pages}
        self._sources = [SourceText(_source(page), page.text, 0) for page in pages]
        self._terms = [frozenset(terms(f"{each.source.title} {each.text}")) for each in self._sources]

    async def retrieve(self, query: Query, on_source: Callable[[Source], None]) -> Retrieval:
        """Rank the pages that share the rarest words with the question."""
        asked = frozenset(terms(query.question))
        rarity = {word: math.log(1 + len(self._terms) / (0.5 + sum(word in t for t in self._terms))) for word in asked}
        scores = [sum(rarity[word] for word in asked & words) for words in self._terms]
        best = sorted(range(len(scores)), key=lambda row: -scores[row])[:PAGES]
        texts = [self._sources[row] for row in best if scores[row] > 0]
        for text in texts:
            on_source(text.source)
        sources, passages = await asyncio.to_thread(rank, query.question, texts, PASSAGES)
        return Retrieval(tuple(sources), tuple(passages))


def _source(page: Page) -> Source:
    return Source(
        id=page.name,
        url=f"https://{page.name}",
        title=page.title,
        site=page.host,
        published=page.published,
        updated=page.modified,
    )

"""Texts of a space's documents, extracted once for each content and kept in the store and in memory."""

import asyncio
import json
import logging
from collections import OrderedDict
from collections.abc import Collection

from storage.ask.documents import Document, Documents
from storage.errors import Damaged, Missing, StoreError
from storage.objects.store import Store
from trainer.ask.documents.own_docs import own_docs
from trainer.ask.documents.sources import document_source
from trainer.ask.pages.extract import Extracted
from trainer.ask.pages.extractor_pool import ExtractorPool
from trainer.ask.ranking.source_text import SourceText

log = logging.getLogger(__name__)

TEXT_VERSION = 2  # of extraction: texts of another one are extracted anew
KEPT_CHARACTERS = 40_000_000  # in memory
AT_ONCE = 4
SITE = "documents"


class DocumentLibrary:
    """The documents that questions are answered from."""

    def __init__(self, store: Store, extractor: ExtractorPool) -> None:
        self._store, self._documents, self._extractor = store, Documents(store), extractor
        self._texts: OrderedDict[str, Extracted] = OrderedDict()
        self._free = asyncio.Semaphore(AT_ONCE)

    async def texts(self, space: str, ids: Collection[str] | None = None) -> tuple[list[SourceText], list[str]]:
        """Texts of a space's documents, those with these ids or all, and of our own docs; and what cannot be read.

        The latter are whole sentences. Raises StoreError if the store fails.
        """
        documents = await self._documents.in_space(space) if space else []
        wanted = [each for each in documents if ids is None or each.as_read in ids]
        extracted = await asyncio.gather(*(self._text(document) for document in wanted))
        texts, notices = list(await asyncio.to_thread(own_docs)), []
        for document, text in zip(wanted, extracted, strict=True):
            if text.trouble:
                notices.append(f"{document.name} {text.trouble}.")
            else:
                texts.append(SourceText(document_source(document.name, text, SITE), text.text, len(texts)))
        return texts, notices

    async def _text(self, document: Document) -> Extracted:
        key = document.text_key
        if key in self._texts:
            self._texts.move_to_end(key)
            return self._texts[key]
        async with self._free:
            try:
                text = await self._stored(key) or await self._extracted(document)
            except (Missing, Damaged):
                return Extracted(trouble="cannot be read: its file is not in the store as it was saved")
        self._texts[key] = text
        while sum(len(each.text) for each in self._texts.values()) > KEPT_CHARACTERS:
            self._texts.popitem(last=False)
        return text

    async def _stored(self, key: str) -> Extracted | None:
        """The text that an earlier question has had extracted."""
        try:
            fields = json.loads((await self._store.get(key)).data)
            return Extracted(**fields["text"]) if fields["version"] == TEXT_VERSION else None
        except (Missing, ValueError, KeyError, TypeError):
            return None

    async def _extracted(self, document: Document) -> Extracted:
        data = await self._documents.read(document)
        text = await self._extractor.extract(data, document.media_type)
        if not text.may_pass:
            try:
                record = {"version": TEXT_VERSION, "text": text.as_json()}
                await self._store.put(document.text_key, json.dumps(record).encode())
                if not await self._documents.is_current(document):  # deleted meanwhile, and so is its text
                    await self._store.delete(document.text_key)
            except StoreError as error:
                log.warning("the text of a document is not kept: %s", error)
        return text

"""A BM25 index over all documents of a space, so that only those that may answer a question are ranked closely."""

from collections import OrderedDict
from collections.abc import Sequence

import numpy as np

from trainer.ask.ranking.bm25 import BM25Index
from trainer.ask.ranking.passages import split_passages
from trainer.ask.ranking.source_text import SourceText

INDEXES_MAX = 8  # kept in memory
SOURCES_MAX = 12


class DocumentIndexes:
    """Indexes by what is in them: one is built when documents have changed, not for each question."""

    def __init__(self) -> None:
        self._indexes: OrderedDict[int, tuple[BM25Index, list[int]]] = OrderedDict()

    def best(self, question: str, texts: Sequence[SourceText]) -> list[SourceText]:
        """The documents with the best passages for a question, best first. Takes CPU time: call it in a thread."""
        index, owners = self._index(texts)
        scores = index.scores(question)
        order = [owners[row] for row in np.argsort(-scores, kind="stable") if scores[row] > 0]
        return [texts[number] for number in list(dict.fromkeys(order))[:SOURCES_MAX]]

    def _index(self, texts: Sequence[SourceText]) -> tuple[BM25Index, list[int]]:
        key = hash(tuple((text.source.id, text.text) for text in texts))
        if key not in self._indexes:
            rows = [(number, passage) for number, text in enumerate(texts) for passage in split_passages(text.text)]
            titles = [texts[number].source.title for number, _ in rows]
            bodies = [f"{passage.heading}\n{passage.text}" for _, passage in rows]
            self._indexes[key] = BM25Index(titles, bodies), [number for number, _ in rows]
            while len(self._indexes) > INDEXES_MAX:
                self._indexes.popitem(last=False)
        return self._indexes[key]

"""BM25 (Robertson and Zaragoza 2009) over passages, by bm25s."""

from collections.abc import Sequence

import bm25s
import numpy as np
import numpy.typing as npt

from trainer.ask.ranking.terms import terms

Scores = npt.NDArray[np.float32]


class BM25Index:
    """An index of texts; `texts[k]` is what `scores(…)[k]` is about."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._terms = [terms(text) for text in texts]
        self._known = {term for each in self._terms for term in each}
        self._model = bm25s.BM25(k1=1.2, b=0.6)
        if self._known:
            self._model.index(self._terms, show_progress=False)

    def scores(self, question: str) -> Scores:
        """The score of each text, 0 where no term of the question is in it."""
        asked = [term for term in dict.fromkeys(terms(question)) if term in self._known]
        if not asked:
            return np.zeros(len(self._terms), np.float32)
        return np.asarray(self._model.get_scores(asked), np.float32)

    def coverage(self, question: str) -> Scores:
        """Share of the question that is in each text, 0…1: terms weighted by how rare they are (IDF)."""
        asked = list(dict.fromkeys(terms(question)))
        if not asked:
            return np.zeros(len(self._terms), np.float32)
        count = len(self._terms)
        sets = [set(each) for each in self._terms]
        frequencies = {term: sum(term in each for each in sets) for term in asked}
        weights = {term: float(np.log(1 + (count + 1) / (frequencies[term] + 0.5))) for term in asked}
        total = sum(weights.values())
        return np.array([sum(weights[t] for t in asked if t in each) / total for each in sets], np.float32)

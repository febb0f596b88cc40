"""BM25 (Robertson and Zaragoza 2009) over passages, by bm25s."""

import logging
from collections import Counter
from collections.abc import Sequence

import bm25s
import numpy as np
import numpy.typing as npt

from trainer.ask.ranking.terms import terms

logging.getLogger("bm25s").setLevel(logging.WARNING)  # its import sets DEBUG, a line for each question

Scores = npt.NDArray[np.float32]


class BM25Index:
    """An index of passages; row k of `scores(…)` is about the k-th.

    A term of the title counts once for each passage below it: a passage that repeats the name of what its page is about
    says no more about it than the others.
    """

    def __init__(self, titles: Sequence[str], texts: Sequence[str]) -> None:
        by_title = {title: frozenset(terms(title)) for title in set(titles)}
        self.terms = [
            [*by_title[title], *(term for term in terms(text) if term not in by_title[title])]
            for title, text in zip(titles, texts, strict=True)
        ]
        self._known = {term for each in self.terms for term in each}
        self._model = bm25s.BM25(k1=1.2, b=0.6)
        if self._known:
            self._model.index(self.terms, show_progress=False)

    def scores(self, question: str) -> Scores:
        """The score of each passage, 0 where no term of the question is in it."""
        asked = [term for term in dict.fromkeys(terms(question)) if term in self._known]
        if not asked:
            return np.zeros(len(self.terms), np.float32)
        return np.asarray(self._model.get_scores(asked), np.float32)

    def weights(self, asked: Sequence[str]) -> Scores:
        """How much each term tells (IDF), 0…1 in sum."""
        counts = Counter(term for each in self.terms for term in set(each))
        weights = np.array([np.log(1 + (len(self.terms) + 1) / (counts[term] + 0.5)) for term in asked], np.float32)
        return np.asarray(weights / max(weights.sum(), 1e-9), np.float32)

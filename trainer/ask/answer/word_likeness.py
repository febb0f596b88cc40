"""How much of each word of a question a text has: the word itself, or in part by the one nearest to it in meaning.

Nearness is the cosine of static word vectors. Of words picked at random, 99 % of pairs are below `FAR`.
"""

from collections.abc import Collection, Iterable, Mapping

import numpy as np

from trainer.ask.citations.words import stem, words_and_stems
from trainer.ask.ranking.vectors import static_embedder

FAR, NEAR = 0.22, 0.62  # cosines that count as nothing, and as a synonym
SYNONYM = 0.85  # of what the word itself counts
SYNONYMOUS = 0.35  # cosine of two words for one thing: employees and workers; dogs and cats are below

Shares = Mapping[str, float]


class WordLikeness:
    """Compares the words of a question, as stems, with those of texts that are known from the start."""

    def __init__(self, asked: Collection[str], question: str, texts: Iterable[str]) -> None:
        spelled = {stem: word for text in texts for word, stem in words_and_stems(text)}
        own = {stem: word for word, stem in words_and_stems(question) if stem in asked}
        self._asked, stems = list(own), list(spelled)
        self._places = {stem: place for place, stem in enumerate(stems)}
        embedder = static_embedder()
        cosines = embedder.embed(list(own.values())) @ embedder.embed(list(spelled.values())).T
        self._near = SYNONYM * np.clip((cosines - FAR) / (NEAR - FAR), 0, 1)
        for row, stem in enumerate(self._asked):
            if stem in self._places:
                self._near[row, self._places[stem]] = 1.0

    def shares(self, stems: Collection[str]) -> Shares:
        """For each word that is asked for, how much of it is among these words of the texts, 0…1."""
        columns = [self._places[stem] for stem in stems if stem in self._places]
        best = self._near[:, columns].max(axis=1, initial=0.0) if columns else np.zeros(len(self._asked))
        return dict(zip(self._asked, best.tolist(), strict=True))


def are_near(some: Collection[str], others: Collection[str]) -> bool:
    """Whether a word of the first ones is among the others, or near to one of them in meaning."""
    if not some or not others:
        return False
    if {stem(word) for word in some} & {stem(word) for word in others}:
        return True
    embedder = static_embedder()
    return bool((embedder.embed(list(some)) @ embedder.embed(list(others)).T).max() >= SYNONYMOUS)

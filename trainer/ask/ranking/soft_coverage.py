"""How much of a question is in a passage: each word by itself, or by the word that is nearest to it in meaning."""

from collections.abc import Sequence

import numpy as np

from trainer.ask.ranking.bm25 import BM25Index, Scores
from trainer.ask.ranking.terms import words_and_terms
from trainer.ask.ranking.vectors import StaticEmbedder

NEAR, FAR = 0.95, 0.35  # cosines that count as the nearest, and as nothing
NEAR_WORD = 0.8  # of what the word itself counts


def soft_coverage(
    question: str, titles: Sequence[str], texts: Sequence[str], index: BM25Index, embedder: StaticEmbedder
) -> Scores:
    """Share of the question in each passage or its title, 0…1; words weigh by how rare they are (late interaction)."""
    asked = {term: word for word, term in words_and_terms(question)}
    if not asked or not texts:
        return np.zeros(len(texts), np.float32)
    weights = index.weights(list(asked))
    rows = [
        {term: word for word, term in words_and_terms(f"{title}\n{text}")}
        for title, text in zip(titles, texts, strict=True)
    ]
    words = sorted({word for row in rows for word in row.values()})
    places = {word: place for place, word in enumerate(words)}
    near = np.clip((embedder.embed(list(asked.values())) @ embedder.embed(words).T - FAR) / (NEAR - FAR), 0, 1)
    coverage = np.zeros(len(texts), np.float32)
    for number, row in enumerate(rows):
        best = near[:, [places[word] for word in row.values()]].max(axis=1, initial=0)
        exact = np.array([term in row for term in asked], bool)
        coverage[number] = float((weights * np.where(exact, 1, NEAR_WORD * best)).sum())
    return coverage

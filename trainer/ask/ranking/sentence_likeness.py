"""How near the best sentence of a passage is in meaning to what is asked about the title's subject."""

from collections.abc import Sequence

import numpy as np

from trainer.ask.ranking.bm25 import Scores
from trainer.ask.ranking.passages import split_sentences
from trainer.ask.ranking.terms import terms
from trainer.ask.ranking.vectors import StaticEmbedder


def sentence_likeness(question: str, titles: Sequence[str], texts: Sequence[str], embedder: StaticEmbedder) -> Scores:
    """Cosine of the question and each passage's best sentence, 0…1, both without the words of the passage's title.

    What a page is about stands in its title; without it, “How deep is Lake Orvan?” is compared as “How deep is?”.
    """
    sentences, rows, questions = list[str](), list[int](), list[str]()
    for row, (title, text) in enumerate(zip(titles, texts, strict=True)):
        known = frozenset(terms(title))
        questions.append(_without(question, known) or question)
        for sentence in split_sentences(text):
            sentences.append(_without(sentence, known))
            rows.append(row)
    likeness = np.zeros(len(texts), np.float32)
    if sentences:
        different = {text: place for place, text in enumerate(dict.fromkeys(questions))}
        asked = embedder.embed(list(different))[[different[questions[row]] for row in rows]]
        np.maximum.at(likeness, rows, (embedder.embed(sentences) * asked).sum(axis=1))
    return np.clip(likeness, 0, 1)


def _without(text: str, known: frozenset[str]) -> str:
    """A text without the words of a title; words that are no terms stay."""
    return " ".join(word for word in text.split() if not known.intersection(terms(word)))

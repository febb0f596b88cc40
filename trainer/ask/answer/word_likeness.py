"""How much of each word of a question a text has: the word itself, or in part by the one nearest to it in meaning.

Words for one relation (`relations.toml`) are near, and otherwise those with a high cosine of static word vectors. Of
words picked at random, 99 % of pairs are below `FAR`.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import lru_cache

import numpy as np

from storage.data_files import read_toml
from trainer.ask.citations.words import CJK, stem, words_and_stems
from trainer.ask.ranking.vectors import static_embedder

FAR, NEAR = 0.22, 0.62  # cosines that count as nothing, and as a synonym
SYNONYM = 0.85  # of what the word itself counts
HINT = 0.45  # of that, where a word goes with a relation without saying it: the novel of an author
SYNONYMOUS = 0.35  # cosine of two words for one thing: employees and workers; dogs and cats are below

Shares = Mapping[str, float]


class WordLikeness:
    """Compares the words of a question, as stems, with those of texts that are known from the start."""

    def __init__(
        self, asked: Collection[str], question: str, texts: Iterable[str], opposed: Collection[str] = ()
    ) -> None:
        """`opposed` are stems that are no match for any word, however near: wide, where it is asked how long."""
        spelled = {stemmed: word for text in texts for word, stemmed in words_and_stems(text)}
        own = {stemmed: word for word, stemmed in words_and_stems(question) if stemmed in asked}
        self._asked = list(own)
        self._places = {stemmed: place for place, stemmed in enumerate(spelled)}
        embedder = static_embedder()
        cosines = embedder.embed(list(own.values())) @ embedder.embed(list(spelled.values())).T
        self._near = SYNONYM * np.clip((cosines - FAR) / (NEAR - FAR), 0, 1)
        self._near[:, [self._places[each] for each in opposed if each in self._places]] = 0.0
        self._near[[row for row, word in enumerate(self._asked) if CJK.search(word)]] = (
            0.0  # characters have no synonyms
        )
        for row, asked_stem in enumerate(self._asked):
            for words, share in ((hints_of(asked_stem), HINT), (related_words(asked_stem), SYNONYM)):
                places = [self._places[other] for other in words if other in self._places]
                self._near[row, places] = np.maximum(self._near[row, places], share)
            if asked_stem in self._places:
                self._near[row, self._places[asked_stem]] = 1.0

    def shares(self, stems: Collection[str]) -> Shares:
        """For each word that is asked for, how much of it is among these words of the texts, 0…1."""
        columns = [self._places[each] for each in stems if each in self._places]
        best = self._near[:, columns].max(axis=1, initial=0.0) if columns else np.zeros(len(self._asked))
        return dict(zip(self._asked, best.tolist(), strict=True))


def related_words(stemmed: str) -> frozenset[str]:
    """Stems of the words for relations that a word stands for."""
    return _relations().get(stemmed, frozenset())


def hints_of(stemmed: str) -> frozenset[str]:
    """Stems of the words that go with relations that a word stands for, and may say nothing of them."""
    return _hints().get(stemmed, frozenset())


@lru_cache(maxsize=1)
def _relations() -> dict[str, frozenset[str]]:
    return _joined((words, words) for words, _ in _groups())


@lru_cache(maxsize=1)
def _hints() -> dict[str, frozenset[str]]:
    return _joined(pair for words, hints in _groups() for pair in ((words, hints), (hints, words)))


def _groups() -> Iterator[tuple[frozenset[str], frozenset[str]]]:
    """Of each relation the words for it, and those that hint at it, as stems."""
    for spelled in read_toml("trainer.ask.answer", "relations.toml").values():
        words, _, hints = spelled.partition("|")
        yield frozenset(map(stem, words.split())), frozenset(map(stem, hints.split()))


def _joined(groups: Iterable[tuple[frozenset[str], frozenset[str]]]) -> dict[str, frozenset[str]]:
    """For each word on the left of a pair all that are on the right of such pairs."""
    joined = defaultdict[str, set[str]](set)
    for words, others in groups:
        for word in words:
            joined[word] |= others
    return {word: frozenset(others) for word, others in joined.items()}


def are_near(some: Collection[str], others: Collection[str]) -> bool:
    """Whether a word of the first ones is among the others, or near to one of them in meaning."""
    if not some or not others:
        return False
    stems = {stem(word) for word in others}
    if any(stem(word) in stems or related_words(stem(word)) & stems for word in some):
        return True
    embedder = static_embedder()
    return bool((embedder.embed(list(some)) @ embedder.embed(list(others)).T).max() >= SYNONYMOUS)

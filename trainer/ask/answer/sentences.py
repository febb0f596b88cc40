"""Sentences of passages, each with its source, and how well they answer a question."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from storage.contract.ask import Source
from storage.text import clean
from trainer.ask.answer.question import Question
from trainer.ask.answer.word_likeness import Shares, WordLikeness
from trainer.ask.citations.words import words_of
from trainer.ask.ranking.vectors import static_embedder
from trainer.ask.retrieval import Retrieval

SENTENCE_BREAK = re.compile(
    r"(?<!\b[A-Z]\.)(?<!\b(?:Dr|Mr|St|No|vs|ca)\.)(?<!\b(?:Mrs|e\.g|i\.e|etc|Fig|Vol)\.)(?<=[.!?。！？])[\"”’)\]]*\s+"
    r"(?=[^a-z\s])|\n+"
)
LENGTHS = range(8, 501)  # characters; what is longer is no sentence but a table
MARKUP = re.compile(r"^\s*(?:#+|[-*+•>|]|\d+[.)])\s+|[*_`|]{1,3}")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
NEAR_WEIGHT = 0.6  # of a word in the sentences around, or in the title, beside one in the sentence
NAMES_LEAST, ATTRIBUTES_LEAST = 0.6, 0.5  # shares of the question that a sentence that answers it has
LIKENESS_LEAST = 0.22  # at which it answers by its vector alone
STALE_FACTOR = 0.8
BY_DIMENSION = 0.6  # of a word like “deep”, in a sentence with a length
OWN_LEAST = 0.3  # share of the words that are no names that are in the sentence itself


@dataclass(frozen=True)
class Sentence:
    """A sentence as it stands in a source. Shares are of the question's words, weighted by how rare they are."""

    text: str
    source: Source
    words: frozenset[str]
    names: float = 1.0  # share of the names that it, its neighbours or its title has
    attributes: float = 1.0  # share of the other words, where those nearby count for less
    likeness: float = 0.0  # cosine of its vector and that of the question without names
    own: float = 1.0  # share of the other words that are in the sentence itself
    has_kind: bool = True  # whether it has what is asked for: a number, a date

    @property
    def worth(self) -> float:
        """By what sentences are ordered."""
        worth = self.names + self.attributes + self.own + 3 * self.likeness + 0.5 * self.has_kind
        return worth * (STALE_FACTOR if self.source.stale else 1.0)

    @property
    def is_answer(self) -> bool:
        """Whether it supports an answer."""
        in_words = self.attributes >= ATTRIBUTES_LEAST and self.own >= OWN_LEAST
        fits = in_words or self.likeness >= LIKENESS_LEAST
        return fits and self.names >= NAMES_LEAST and self.has_kind


def split(text: str) -> list[str]:
    """Sentences of a passage, without headings and other markup."""
    pieces = (piece for piece in SENTENCE_BREAK.split(text) if not piece.lstrip().startswith("#"))
    lines = (MARKUP.sub("", clean(piece)).strip() for piece in pieces)
    return [line for line in lines if len(line) in LENGTHS]


def ranked(question: Question, retrieval: Retrieval) -> list[Sentence]:
    """All sentences of the passages, those first that answer the question best; each text of a source once."""
    sources = {source.id: source for source in retrieval.sources}
    passages = [(sources[p.source_id], p.text) for p in retrieval.passages if p.source_id in sources]
    scorer = _Scorer(question, [f"{source.title} {source.site} {text}" for source, text in passages])
    sentences: dict[tuple[str, str], Sentence] = {}
    for source, text in passages:
        for sentence in scorer.scored(source, text):
            sentences.setdefault((source.id, sentence.text), sentence)
    return sorted(sentences.values(), key=lambda sentence: -sentence.worth)


class _Scorer:
    """Scores the sentences of passages against a question."""

    def __init__(self, question: Question, texts: Sequence[str]) -> None:
        self._question = question
        self._weights = question.weights(texts)
        self._likeness = WordLikeness(question.words, question.text, texts)

    def scored(self, source: Source, text: str) -> Iterator[Sentence]:
        question, pieces = self._question, split(text)
        words = [frozenset(words_of(piece)) for piece in pieces]
        vectors = static_embedder().embed([question.without_names, *pieces])
        likeness = vectors[1:] @ vectors[0]
        around = frozenset(words_of(" ".join([source.title, source.site, *HEADING.findall(text)])))
        for n, piece in enumerate(pieces):
            own = self._own_shares(piece, words[n])
            nearby = self._likeness.shares(around.union(*words[max(0, n - 2) : n + 2]))
            whole = {word: max(own[word], NEAR_WEIGHT * nearby[word]) for word in own}
            has_names = frozenset(word for word in question.names if max(own[word], nearby[word]) >= 1)
            yield Sentence(
                text=piece,
                source=source,
                words=words[n],
                names=sum(self._weights[word] for word in has_names) if question.names else 1.0,
                likeness=float(likeness[n]),
                attributes=self._sum(whole) if question.attributes else 1.0,
                own=self._sum(own) if question.attributes else float(any(own.values())),
                has_kind=question.has_kind(piece),
            )

    def _own_shares(self, piece: str, words: frozenset[str]) -> dict[str, float]:
        """What a sentence has of each word; a quantity that is asked for says in part what it is of."""
        shares = dict(self._likeness.shares(words))
        if self._question.dimension_words and self._question.has_dimension(piece):
            shares |= {word: max(shares[word], BY_DIMENSION) for word in self._question.dimension_words}
        return shares

    def _sum(self, shares: Shares) -> float:
        return sum(self._weights[word] * shares[word] for word in self._question.attributes)

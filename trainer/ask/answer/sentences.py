"""Sentences of passages, each with its source, and how well they answer a question."""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from storage.contract.ask import Source
from trainer.ask.answer.phrases import known_words
from trainer.ask.answer.pieces import OF_LIFETIME, Piece, split_pieces
from trainer.ask.answer.question import GENERAL_VERBS, Question
from trainer.ask.answer.variants import VariantFinder, numbered_things
from trainer.ask.answer.word_likeness import Shares, WordLikeness
from trainer.ask.citations.words import words_and_stems, words_of
from trainer.ask.ranking.vectors import Vectors, static_embedder
from trainer.ask.retrieval import Retrieval

HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
CONTEXT_WEIGHT = 0.9  # of a word in the question or the head of the table that a sentence stands under
NEAR_WEIGHT = 0.6  # of a word in the sentences around, or in the title, beside one in the sentence
NAMES_LEAST, ATTRIBUTES_LEAST = 0.75, 0.5  # shares of the question that a sentence that answers it has
NAMES_RELATED = 0.6  # that one has beside it
LIKENESS_LEAST, LIKE_ATTRIBUTES_LEAST = 0.22, 0.2  # at which it answers by its vector and a bit of the words
STALE_FACTOR = 0.8
BY_DIMENSION = 0.6  # of a word like “deep”, in a sentence with a length
BY_OWN_DIMENSION = 0.85  # of a word like “fast”, in one with a speed, which is nothing else
OWN_DIMENSIONS = frozenset(
    {"mass", "speed", "temperature", "power", "energy", "area", "volume", "frequency", "voltage"}
)
SUBJECT_LEAST = 0.5  # of a noun that says what kind of thing it is about, by likeness, in all of a source
HEAD_LEAST = 0.3  # of the noun of "which …", by likeness
NAME_LEAST = 6  # letters of a name that another form of it has as well
COLLECTION_LEAST = 5  # documents that are a collection about one thing
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
    is_anchored: bool = True  # by a name in the question; without one, words alone tell what it is about
    is_literal: bool = True  # whether it has a word of the question that is no name, or what asks for its dimension
    has_head: bool = True  # whether it speaks of a river, or has a name, where the question is "which river …"
    is_about: bool = True  # whether its source speaks of the kind of thing that the question is about

    @property
    def worth(self) -> float:
        """By what sentences are ordered."""
        worth = self.names + self.attributes + self.own + 3 * self.likeness + 0.5 * self.has_kind
        return worth * (STALE_FACTOR if self.source.stale else 1.0)

    @property
    def is_answer(self) -> bool:
        """Whether it supports an answer."""
        return self.is_candidate and self.names >= NAMES_LEAST and (self.is_anchored or self.is_literal)

    @property
    def is_candidate(self) -> bool:
        """Whether it would, beside another sentence that does."""
        in_words = self.attributes >= ATTRIBUTES_LEAST and self.own >= OWN_LEAST
        least = LIKE_ATTRIBUTES_LEAST if self.is_anchored else ATTRIBUTES_LEAST
        in_sense = self.has_head and self.likeness >= LIKENESS_LEAST and self.attributes >= least
        fits = (in_words and self.has_head) or in_sense
        return fits and self.is_of_subject and self.has_kind

    @property
    def is_of_subject(self) -> bool:
        """Whether it is about the thing that the question is about."""
        return self.is_about and self.names >= NAMES_RELATED


def ranked(question: Question, retrieval: Retrieval) -> list[Sentence]:
    """All sentences of the passages, those first that answer the question best; each text of a source once."""
    sources = {source.id: source for source in retrieval.sources}
    passages = [(sources[p.source_id], p.text) for p in retrieval.passages if p.source_id in sources]
    whole = {source.id: source.title for source, _ in passages}
    for source, text in passages:
        whole[source.id] += f"\n{text}"
    scorer = _Scorer(question, [f"{source.title} {source.site} {text}" for source, text in passages])
    if not scorer.is_known(whole.values()):
        return []
    scorer.tell_apart(retrieval.sources, whole)
    variants = VariantFinder(question.text, whole)
    about = {source.id: scorer.is_about(f"{source.site} {whole[source.id]}") for source, _ in passages}
    sentences: dict[tuple[str, str], Sentence] = {}
    for source, text in passages:
        for sentence in scorer.scored(source, text, about[source.id]):
            if not variants.is_other(source.id, sentence.text):
                sentences.setdefault((source.id, sentence.text), sentence)
    return sorted(sentences.values(), key=lambda sentence: -sentence.worth)


def _is_inflected(name: str, words: Collection[str]) -> bool:
    """Whether a name is among words in another form: German and Germany."""
    return len(name) >= NAME_LEAST and any(
        len(word) >= NAME_LEAST and (word.startswith(name) or name.startswith(word)) for word in words
    )


class _Scorer:
    """Scores the sentences of passages against a question."""

    def __init__(self, question: Question, texts: Sequence[str]) -> None:
        self._question = question
        self._weights = question.weights(texts)
        self._numbered = numbered_things(question.text)
        self._anchors = question.names
        known = [*texts, OF_LIFETIME, known_words()]
        words = question.words | question.light_words
        self._likeness = WordLikeness(words, question.plain, known, question.rival_words)

    def tell_apart(self, sources: Collection[Source], whole: Mapping[str, str]) -> None:
        """Take no name of the question for an anchor if all documents have it: then they are all about that."""
        texts = [frozenset(words_of(whole[source.id])) for source in sources if source.id in whole]
        if len(texts) >= COLLECTION_LEAST and all(source.kind == "document" for source in sources):
            self._anchors = frozenset(name for name in self._anchors if not all(name in text for text in texts))

    def is_known(self, whole: Collection[str]) -> bool:
        """Whether the sources together speak of all that is asked about, where there is no name to find it by."""
        if self._question.names or not self._question.has_capitals:
            return True
        shares = self._likeness.shares(frozenset(words_of("\n".join(whole))))
        asked = self._question.words.intersection(words_of(self._question.asked)) - self._question.dimension_words
        return all(shares[word] >= SUBJECT_LEAST for word in asked - GENERAL_VERBS)

    def is_about(self, whole: str) -> bool:
        """Whether a source speaks of the kind of thing that the question is about, and has its number."""
        words = frozenset(words_of(whole))
        shares = self._likeness.shares(words)
        has_numbers = all(thing.is_of_year or thing.may_be_in(whole) for thing in self._numbered)
        return has_numbers and all(shares[word] >= SUBJECT_LEAST for word in self._question.subject_stems)

    def scored(self, source: Source, text: str, is_about: bool) -> Iterator[Sentence]:
        """The sentences of one passage. Words of its title say what it is about, as names do."""
        question, pieces = self._question, split_pieces(text)
        title = frozenset(words_of(source.title))
        attributes = question.attributes - (title - question.names) or question.light_words or question.attributes
        names = question.names | (question.words - attributes)
        has_title = not title.isdisjoint(question.words - question.names)
        words = [frozenset(words_of(piece.text)) for piece in pieces]
        likeness = self._likeness_of([piece.text for piece in pieces], names | title)
        around = frozenset(words_of(" ".join([source.title, source.site, *HEADING.findall(text)])))
        for n, piece in enumerate(pieces):
            own = self._own_shares(piece, words[n])
            beside = [words[n]] if piece.is_row else words[max(0, n - 2) : n + 2]
            nearby = self._likeness.shares(around.union(words_of(piece.context), *beside))
            whole = {word: max(own[word], NEAR_WEIGHT * nearby[word]) for word in own}
            around_it = around.union(*beside)
            named = {word: float(max(own[word], nearby[word]) >= 1 or _is_inflected(word, around_it)) for word in names}
            yield Sentence(
                text=piece.text,
                source=source,
                words=words[n],
                names=self._share(named, names),
                likeness=float(likeness[n]),
                attributes=self._share(whole, attributes),
                own=self._share(own, attributes),
                is_anchored=bool(self._anchors) or not question.has_capitals,
                is_literal=has_title
                or question.has_dimension(piece.text)
                or any(own[word] >= CONTEXT_WEIGHT for word in attributes),
                has_kind=question.has_kind(piece.text) and not self._is_of_other(own, words[n]),
                has_head=self._has_head(piece, own, nearby),
                is_about=is_about,
            )

    def _has_head(self, piece: Piece, own: Shares, nearby: Shares) -> bool:
        """Whether a sentence speaks of what “which …” asks for, or has a name; of a deed it has to speak."""
        head = self._question.head
        if not head or own[head] >= HEAD_LEAST:
            return True
        if self._question.asks_who_did or self._question.kind not in ("", "name"):
            return nearby[head] >= HEAD_LEAST
        return self._question.has_name(piece.text)

    def _likeness_of(self, pieces: Sequence[str], known: frozenset[str]) -> Vectors:
        """Cosines of the question and each sentence, without the words that are known to be what they are about."""
        bare = [" ".join(w for w, stem in words_and_stems(text) if stem not in known)
                for text in (self._question.text, *pieces)]  # fmt: skip
        vectors = static_embedder().embed(bare)
        return np.asarray(vectors[1:] @ vectors[0], np.float32)

    def _own_shares(self, piece: Piece, words: frozenset[str]) -> dict[str, float]:
        """What a sentence has of each word; a quantity that is asked for says in part what it is of."""
        shares = dict(self._likeness.shares(words))
        if piece.context:
            above = self._likeness.shares(words_of(piece.context))
            shares = {word: max(share, CONTEXT_WEIGHT * above[word]) for word, share in shares.items()}
        if words.isdisjoint(self._question.rival_words) and self._question.has_dimension(piece.text):
            least = BY_OWN_DIMENSION if self._question.dimensions <= OWN_DIMENSIONS else BY_DIMENSION
            shares |= {word: max(shares[word], least) for word in self._question.dimension_words}
        return shares

    def _is_of_other(self, own: Shares, words: frozenset[str]) -> bool:
        """Whether a sentence is about another quantity than the one that is asked for: wide, and not long."""
        asked = self._question.dimension_words
        return not words.isdisjoint(self._question.rival_words) and bool(asked) and not any(own[w] for w in asked)

    def _share(self, shares: Shares, words: Collection[str]) -> float:
        """How much of some words of the question there is, where rare ones weigh more; all if there are none."""
        total = sum(self._weights[word] for word in words)
        return sum(self._weights[word] * shares[word] for word in words) / total if total else 1.0

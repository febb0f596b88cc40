"""Sentences of passages, each with its source, and how well they answer a question."""

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from storage.contract.ask import Source
from storage.text import clean
from trainer.ask.citations.facts import facts_in
from trainer.ask.citations.words import words_of
from trainer.ask.retrieval import Retrieval

SENTENCE_BREAK = re.compile(
    r"(?<!\b[A-Z]\.)(?<!\b(?:Dr|Mr|St|No|vs|ca)\.)(?<!\b(?:Mrs|e\.g|i\.e|etc|Fig|Vol)\.)(?<=[.!?。！？])[\"”’)\]]*\s+"
    r"(?=[^a-z\s])|\n+"
)
SENTENCE_MAX = 500  # characters; what is longer is no sentence but a table
MARKUP = re.compile(r"^\s*(?:#+|[-*+•>|]|\d+[.)])\s+|[*_`|]{1,3}")
NAME_BOOST, NEIGHBOUR_WEIGHT = 2.0, 0.6
KINDS_ASKED = {  # what a question of this kind wants to see in its answer
    re.compile(r"\bhow (?:many|much|long|far|old|tall|high|deep|big|large|wide|heavy|fast|often)\b"): "number",
    re.compile(r"\b(?:percentage|percent|share of|what rate)\b"): "percent",
    re.compile(r"\b(?:when|what (?:year|date|day|month)|which (?:year|date|day|month)|since when)\b"): "date",
}


@dataclass(frozen=True)
class Sentence:
    """A sentence as it stands in a source, and what it is worth for the question, 0 to 1."""

    text: str
    source: Source
    words: frozenset[str]
    coverage: float = 0.0  # share of the question's words in it, weighted by how rare they are
    context: float = 0.0  # the same, with the title and the sentences around it
    has_kind: bool = False  # whether it has what is asked for: a number, a date

    @property
    def worth(self) -> float:
        """By what sentences are ordered."""
        return self.coverage + 0.35 * self.context + (0.25 if self.has_kind else 0.0)


@dataclass
class Question:
    """A question's words, their weights, and what kind of answer it wants."""

    text: str
    words: frozenset[str] = field(init=False)
    kind: str = field(init=False, default="")

    def __post_init__(self) -> None:
        self.words = frozenset(words_of(self.text))
        lowered = self.text.lower()
        self.kind = next((kind for pattern, kind in KINDS_ASKED.items() if pattern.search(lowered)), "")

    def is_answered_by(self, text: str) -> bool:
        """Whether a text has a fact of the kind that is asked for; yes if none is."""
        kinds = {fact.kind for fact in facts_in(text)}
        years = self.kind == "date" and re.search(r"\b[12]\d{3}\b", text)
        return not self.kind or self.kind in kinds or bool(years) or (self.kind == "number" and bool(kinds))


def split(text: str) -> list[str]:
    """Sentences of a passage, without headings and other markup."""
    lines = (MARKUP.sub("", clean(piece)).strip() for piece in SENTENCE_BREAK.split(text) if not _is_heading(piece))
    return [line for line in lines if 8 <= len(line) <= SENTENCE_MAX]


def _is_heading(piece: str) -> bool:
    return piece.lstrip().startswith("#")


def ranked(question: Question, retrieval: Retrieval) -> list[Sentence]:
    """All sentences of the passages, those first that answer the question best; each text once."""
    sources = {source.id: source for source in retrieval.sources}
    passages = [(sources[p.source_id], p.text) for p in retrieval.passages if p.source_id in sources]
    weights = _weights(question, [text for _, text in passages])
    sentences: dict[tuple[str, str], Sentence] = {}
    for source, text in passages:
        for sentence in _scored(question, weights, source, text):
            sentences.setdefault((source.id, sentence.text), sentence)
    return sorted(sentences.values(), key=lambda sentence: -sentence.worth)


def _weights(question: Question, texts: Sequence[str]) -> dict[str, float]:
    """Weights of the question's words, adding up to 1: rare ones and names count for more."""
    counts = Counter(word for text in texts for word in set(words_of(text)))
    weights = {word: math.log(1 + (len(texts) + 1) / (counts[word] + 0.5)) for word in question.words}
    names = frozenset(words_of(" ".join(re.findall(r"(?<!^)\b(?:[A-ZÀ-Þ][\w.'-]*|\d[\w.]*)", question.text))))
    weights = {word: weight * (NAME_BOOST if word in names else 1) for word, weight in weights.items()}
    total = sum(weights.values()) or 1.0
    return {word: weight / total for word, weight in weights.items()}


def _scored(question: Question, weights: dict[str, float], source: Source, text: str) -> list[Sentence]:
    pieces = split(text)
    words = [frozenset(words_of(piece)) for piece in pieces]
    around = frozenset(words_of(f"{source.title} {source.site}")) | frozenset(words_of(" ".join(_headings(text))))
    scored = []
    for n, piece in enumerate(pieces):
        near = around.union(*words[max(0, n - 2) : n + 2])
        coverage = sum(weights[word] for word in question.words & words[n])
        context = coverage + NEIGHBOUR_WEIGHT * sum(weights[w] for w in (question.words & near) - words[n])
        scored.append(
            Sentence(piece, source, words[n], coverage, context, bool(question.kind) and question.is_answered_by(piece))
        )
    return scored


def _headings(text: str) -> list[str]:
    return re.findall(r"^#+ (.+)$", text, re.MULTILINE)

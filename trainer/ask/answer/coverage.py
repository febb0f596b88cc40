"""Whether a text that a model wrote has the answer, as far as the best sentences of the sources tell it.

What it leaves out is quoted below it. Models copy a wrong sentence, decline, cite nothing, or speak of something else;
so what an answer says for certain does not depend on them.
"""

import re
from collections.abc import Collection, Sequence

from storage.text import fold
from trainer.ask.answer.extractive import chosen
from trainer.ask.answer.pieces import split_pieces
from trainer.ask.answer.question import Question
from trainer.ask.answer.sentences import Sentence
from trainer.ask.answer.values import Value, ValueFinder
from trainer.ask.citations.facts import all_facts_in, keys_in
from trainer.ask.citations.units import quantity_at
from trainer.ask.citations.words import words_of

COPIED = 0.75  # share of a sentence's words that are in one sentence of the text, which says the same then
PARAPHRASED = 0.34  # share of its words beside those of the question, where no value is asked for
BEST_SHARE = 0.97  # of the best sentence's worth, that a second one has which is quoted as well
CONFIDENT_NAMES, CONFIDENT_OWN = 0.9, 0.5  # shares of the question in a sentence that surely is about it
MARKER = re.compile(r"\[\d+\]")
DECLINES = re.compile(
    r"\b(?:sources?|context|documents?|passages?|text|information|articles?|pages?)\b[^.\n]{0,60}?"
    r"\b(?:do(?:es)? not|don['’]t|doesn['’]t|did not|didn['’]t|cannot|never|no)\b|"
    r"\b(?:I|we)\b[^.\n]{0,30}?\b(?:do not|don['’]t|cannot|can['’]t|could not|couldn['’]t|was not able|was unable|"
    r"am unable|found no)\b|"
    r"\b(?:no|not enough|insufficient) (?:information|answer|mention|data|details?)\b|"
    r"\bunable to (?:answer|find|determine)\b|"
    r"\b(?:is|are|was|were) not (?:mentioned|stated|given|provided|specified|found|available)\b|"
    r"keine (?:Angaben|Informationen)|no (?:se )?(?:menciona|encuentra|hay)",
    re.IGNORECASE,
)


class Coverage:
    """What the best sentences say, to be compared with a text."""

    def __init__(self, question: Question, sentences: Sequence[Sentence], is_short: bool = False) -> None:
        self._question, self._sentences = question, sentences
        self._groups = chosen(sentences, 1 if is_short else 2)
        self._finder = ValueFinder(question, sentences)

    @property
    def is_confident(self) -> bool:
        """Whether the best sentence answers the question by more than a resemblance."""
        best = next((each for each in self._sentences if each.is_answer), None)
        return best is not None and best.names >= CONFIDENT_NAMES and best.own >= CONFIDENT_OWN

    def untold(self, text: str, cited: Collection[str]) -> list[tuple[Sentence, list[Sentence]]]:
        """Sentences to quote below a text, each with those of other sources that say the same.

        There are none if the text has the answer. `cited` are the ids of the sources that it cites.
        """
        written = _Written(text, cited)
        told = [self._is_told(sentence, also, written) for sentence, also in self._groups]
        if not self._groups or told[0]:
            return []
        close = [each for each in self._groups if each[0].worth >= BEST_SHARE * self._groups[0][0].worth]
        return close if not any(told) else self._groups[:1]

    def _is_told(self, sentence: Sentence, also: Sequence[Sentence], written: "_Written") -> bool:
        """Whether a text says what a sentence says, with a source that says it."""
        values = self._finder.values(sentence) if self._question.kind else []
        if not written.cited & self._supporting(sentence, also, values[:1]):
            return False
        if any(len(sentence.words & words) >= COPIED * len(sentence.words) for words in written.sentences):
            return True
        if values:
            return written.has(values[0], sentence.text)
        new = sentence.words - self._question.words or sentence.words
        return len(new & written.words) >= PARAPHRASED * len(new)

    def _supporting(self, sentence: Sentence, also: Sequence[Sentence], values: Sequence[Value]) -> set[str]:
        """The sources that say the same: by other words if they have the same value."""
        supporting = {sentence.source.id, *(each.source.id for each in also)}
        for value in values:
            for other in self._sentences:
                if other.is_answer and other.source.id not in supporting and _has(other.text, value, sentence.text):
                    supporting.add(other.source.id)
        return supporting


class _Written:
    """A text of a model, taken apart."""

    def __init__(self, text: str, cited: Collection[str]) -> None:
        self.text, self.cited = MARKER.sub("", text), set(cited)
        self.sentences = [frozenset(words_of(piece.text)) for piece in split_pieces(self.text)]
        self.words = frozenset(words_of(self.text))

    def has(self, value: Value, sentence: str) -> bool:
        """Whether it has a value of a sentence."""
        return _has(self.text, value, sentence)


def _has(text: str, value: Value, sentence: str) -> bool:
    if value.kind == "name":
        return fold(sentence[value.start : value.end]) in fold(text)
    if not value.quantity:
        return not keys_in(text).isdisjoint(value.keys)
    same = (fact for fact in all_facts_in(text) if not set(fact.keys).isdisjoint(value.keys))
    quantities = (quantity_at(text, fact.start, fact.end) for fact in same)
    return any(quantity.dimension == value.quantity.dimension for quantity in quantities if quantity)


def declines(text: str) -> bool:
    """Whether a text says, in whatever words, that it has no answer; `text` cites nothing."""
    return len(text) < 600 and DECLINES.search(text) is not None

"""Answers without a model: the best sentences, each quoted with its source; and whether there is an answer at all."""

from collections.abc import Mapping, Sequence

from trainer.ask.answer.contradictions import Contradiction
from trainer.ask.answer.prompt import as_data
from trainer.ask.answer.sentences import Sentence
from trainer.ask.citations.facts import all_facts_in

QUOTED_MAX, QUOTED_SHORT = 3, 1  # sentences
WORTH_SHARE = 0.92  # of the best sentence's worth, that further ones have
SAME = 0.7  # share of words in common at which two sentences say the same


def is_answered(sentences: Sequence[Sentence]) -> bool:
    """Whether any sentence supports an answer."""
    return any(sentence.is_answer for sentence in sentences)


def quotations(
    sentences: Sequence[Sentence],
    labels: Mapping[int, str],
    contradictions: Sequence[Contradiction] = (),
    is_short: bool = False,
) -> str:
    """An answer of quotations with markers; contradictions are told first, since they are part of the answer."""
    markers = {id_: f"[{number}]" for number, id_ in labels.items()}
    groups = chosen(sentences, QUOTED_SHORT if is_short else QUOTED_MAX)
    lines = [quoted(sentence, also, markers) for sentence, also in groups]
    return "\n".join([*(each.sentence(markers) for each in contradictions), *lines])


def quoted(sentence: Sentence, also: Sequence[Sentence], markers: Mapping[str, str]) -> str:
    """A sentence in quotation marks, with the markers of its source and of those that say the same."""
    return f"“{quotable(sentence.text)}” " + "".join(markers[each.source.id] for each in (sentence, *also))


def quotable(text: str) -> str:
    """A sentence as it may stand in quotation marks."""
    return as_data(text).replace("“", "‘").replace("”", "’").replace("`", "'")


def chosen(sentences: Sequence[Sentence], most: int) -> list[tuple[Sentence, list[Sentence]]]:
    """The sentences to quote, each with those of other sources that say the same."""
    supporting = [sentence for sentence in sentences if sentence.is_answer]
    picked: list[tuple[Sentence, list[Sentence]]] = []
    for sentence in supporting:
        like = next(((one, also) for one, also in picked if _alike(one, sentence)), None)
        if like:
            one, also = like
            if sentence.source.id not in {one.source.id, *(each.source.id for each in also)} and _agree(one, sentence):
                also.append(sentence)
        elif len(picked) < most and sentence.worth >= WORTH_SHARE * supporting[0].worth:
            picked.append((sentence, []))
    return picked


def _alike(one: Sentence, other: Sentence) -> bool:
    smaller = min(len(one.words), len(other.words))
    return smaller > 0 and len(one.words & other.words) / smaller >= SAME


def _agree(one: Sentence, other: Sentence) -> bool:
    ours, theirs = ([frozenset(fact.keys) for fact in all_facts_in(s.text)] for s in (one, other))
    fewer, more = sorted((ours, theirs), key=len)
    return all(any(keys & each for each in more) for keys in fewer)

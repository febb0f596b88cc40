"""Things whose names differ by a number, or by a word after it: releases 4.1 and 4.10, a lamp and its Pro."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from storage.text import fold
from trainer.ask.citations.dates import NUMBERS

NUMBERED = re.compile(r"\b[A-ZÀ-Þ][\w'-]*(?:\s+[A-ZÀ-Þ][\w'-]*)*\s+\d[\w.]*(?:\s+(?:[A-Z][\w-]*|\d[\w.]*))*")
TOKEN = re.compile(r"[^\W_][\w'-]*(?:\.\w+)*")
MONTHS = frozenset(map(fold, NUMBERS))
YEAR = re.compile(r"(?:1[5-9]|20)\d\d")
OTHER_FORMS = {  # of small numbers in names: World War II
    "2": "ii second two", "3": "iii third three", "4": "iv fourth four", "5": "v fifth five", "6": "vi sixth six",
    "7": "vii seventh seven", "8": "viii eighth eight", "9": "ix ninth nine", "10": "x tenth ten",
}  # fmt: skip
QUALIFIERS = frozenset(
    "pro max plus mini lite ultra air se xl xs xr ti super fe go evo neo premium enterprise alpha beta rc ii iii "
    "iv".split()
)


@dataclass(frozen=True)
class NumberedThing:
    """A thing that a question names: the words of its name, its number, and what comes after."""

    words: tuple[str, ...]
    number: str
    rest: tuple[str, ...]

    def mentions(self, text: str) -> tuple[bool, bool]:
        """Whether a text has the thing, and whether it has others of its name."""
        tokens, size = TOKEN.findall(fold(text)), len(self.words)
        is_there = are_others = False
        for at in range(len(tokens) - size):
            if tuple(tokens[at : at + size]) == self.words and tokens[at + size][0].isdigit():
                is_same = self._is_it(tokens[at + size :])
                is_there, are_others = is_there or is_same, are_others or not is_same
        return is_there, are_others

    @property
    def is_of_year(self) -> bool:
        """Whether the number may be a year, which texts about it need not have."""
        return YEAR.fullmatch(self.number) is not None

    def may_be_in(self, text: str) -> bool:
        """Whether its number is anywhere in a text, in any form."""
        words = [re.escape(self.number), *OTHER_FORMS.get(self.number, "").split()]
        return re.search(rf"(?<![\w.])(?:{'|'.join(words)})(?![\w])", fold(text)) is not None

    def _is_it(self, tokens: Sequence[str]) -> bool:
        """Whether the number and the words after a name are this thing's; 3.14.2 is a release of 3.14."""
        number = tokens[0]
        if number != self.number and not number.startswith(f"{self.number}."):
            return False
        length = 1 + len(self.rest)
        if tuple(tokens[1:length]) != self.rest:
            return False
        return not (len(tokens) > length and tokens[length] in QUALIFIERS)


def numbered_things(question: str) -> list[NumberedThing]:
    """The things with a number in their names that a question names; a month with its year is none.

    >>> [(thing.words, thing.number, thing.rest) for thing in numbered_things("How heavy is the Heron 200 Pro?")]
    [(('heron',), '200', ('pro',))]
    """
    things = []
    for match in NUMBERED.finditer(question):
        tokens = TOKEN.findall(fold(match[0]))
        at = next((n for n, token in enumerate(tokens) if token[0].isdigit()), 0)
        if at and tokens[at - 1] not in MONTHS:
            rest = tuple(token for token in tokens[at + 1 :] if token in QUALIFIERS or token[0].isdigit())
            things.append(NumberedThing(tuple(tokens[:at]), tokens[at].rstrip("."), rest))
    return things


class VariantFinder:
    """Tells sources and sentences that are about another thing of the name, where some source has the one asked for."""

    def __init__(self, question: str, texts: Mapping[str, str]) -> None:
        """`texts` are all texts by the id of their source."""
        things = numbered_things(question)
        named = {thing: {id_: thing.mentions(text) for id_, text in texts.items()} for thing in things}
        self._things = [thing for thing in things if any(is_there for is_there, _ in named[thing].values())]
        self._others = {
            id_ for thing in self._things for id_, (is_there, others) in named[thing].items() if others and not is_there
        }

    def is_other(self, source_id: str, sentence: str) -> bool:
        """Whether a sentence is about another thing."""
        if source_id in self._others:
            return True
        return any(others and not is_there for is_there, others in (t.mentions(sentence) for t in self._things))

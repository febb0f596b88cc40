"""Whether a text says that something costs nothing, which answers what it costs."""

import re
from collections.abc import Collection

from trainer.ask.answer.word_likeness import related_words
from trainer.ask.citations.words import words_of

FREE = re.compile(  # not feel free to …, gluten-free, free Wi-Fi, free from …
    r"(?<!\bnot )(?<!n['’]t )(?<!\blonger )(?<!\bfeel )(?<!-)\bfree(?=\s*(?:[^\w\s-]|$)|\s+(?:of charge|admission|"
    r"entry|entrance|tickets?|to (?:enter|visit|use|join|attend|see|all|everyone|the|members)|for|on|in|at|with|and|or|"
    r"but|if|when|until|during|every|all|as|after|before|daily|each|"
    r"under|throughout|since|to)\b)|\b(?:gratis|complimentary|for nothing|no (?:charge|fee))\b",
    re.IGNORECASE,
)
FREE_THING = re.compile(  # free parking, where it is asked what parking costs
    r"(?<!\bnot )(?<!n['’]t )(?<!\blonger )(?<!\bno )(?<!-)\bfree\s+(\w+(?:\s+\w+)?)", re.IGNORECASE
)


def is_free_of_charge(text: str, asked: Collection[str]) -> bool:
    """Whether a text names a price of nothing; "free" before a thing counts if it is among the stems asked for."""
    things = frozenset(asked).union(*map(related_words, asked))
    return bool(FREE.search(text)) or any(not things.isdisjoint(words_of(of)) for of in FREE_THING.findall(text))

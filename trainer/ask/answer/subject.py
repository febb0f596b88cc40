"""What kind of thing a question is about, as far as it says so: the cable car of “How long is the Aldhorn cable car?”.

A source that never speaks of a cable car is about something else of that name.
"""

import re

from trainer.ask.answer.names import PHRASE
from trainer.ask.citations.words import ENGLISH_STOP_WORDS, VERB_OF_FORM, words_and_stems

GENERIC = frozenset(  # nouns that a source need not have, and words of time
    "area building business company app application book brand city club company country county edition film firm game "
    "group house installation institution island item line machine model movie novel organisation organization page "
    "person place plant product program programme project region series service site software state story system team "
    "thing tool town unit vehicle venue version village work year month week day night today yesterday tomorrow "
    "currently last next first now time season ago annually daily yearly altogether total open closed valid available "
    "default present average least most look "
    "long old away apart worth like used called".split()
)
WORDS = r"(?P<words>(?:\s+[a-zß-ÿ][\w'’-]*)+)"
ARTICLE = r"(?:\s+(?:the|a|an|your|its|their|our))?"
FRAMES = [  # before the thing
    r"\b(?:of|for|at|on|to|from|with|by)",
    r"\b[Hh]ow\s+\w+\s+(?:is|are|was|were)",
]
AUXILIARY = r"\b(?:do|does|did|will|can)"
AUXILIARY_OR_BE = r"\b(?:do|does|did|will|can|is|are|was|were|has|have|had)"
VERB_LAST = re.compile(rf"{AUXILIARY}\s", re.IGNORECASE)  # what does the ticket cost
NAMED = [re.compile(rf"{frame}{ARTICLE}\s+{PHRASE.pattern}{WORDS}") for frame in FRAMES]
NAMED_BEFORE_VERB = re.compile(rf"{AUXILIARY}{ARTICLE}\s+{PHRASE.pattern}{WORDS}")
POSSESSED = re.compile(rf"{AUXILIARY_OR_BE}\s+{PHRASE.pattern}['’]s{WORDS}")  # when was Olaf Brandt's sister born
POSSESSED_LAST = re.compile(rf"\b(?:of|for|at|on|in|to|from|with|by)\s+{PHRASE.pattern}['’]s{WORDS}")
NAMELESS = [re.compile(rf"{frame}{ARTICLE}{WORDS}") for frame in FRAMES]


def subject_stems(question: str, has_names: bool) -> frozenset[str]:
    """Stems of the nouns that follow a name, or of the whole thing where a question has no names.

    >>> sorted(subject_stems("How long is the Aldhorn cable car?", True))
    ['cabl', 'car']
    """
    patterns = NAMED if has_names else NAMELESS
    found = [_until_stop_word(match["words"]) for pattern in patterns for match in pattern.finditer(question)]
    if has_names:
        found += [_until_stop_word(match["words"])[-1:] for match in POSSESSED_LAST.finditer(question)]
        for pattern in (NAMED_BEFORE_VERB, POSSESSED):
            found += (_until_stop_word(match["words"])[:-1] for match in pattern.finditer(question))
    if VERB_LAST.search(question):
        found = [words[:-1] if words and question.rstrip(" ?").endswith(words[-1]) else words for words in found]
    words = {word for each in found for word in each} - GENERIC
    return frozenset(stem for _, stem in words_and_stems(" ".join(words)) if not stem[0].isdigit())


def _until_stop_word(text: str) -> list[str]:
    """The words before the first that ends a noun with what stands before it: a preposition, a verb's helper."""
    words = []
    for word in text.split():
        if word.lower() in ENGLISH_STOP_WORDS or word.endswith("ed") or word.lower() in VERB_OF_FORM:
            break
        words.append(word)
    return words

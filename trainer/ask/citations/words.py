"""Words of a text that carry its meaning, folded and stemmed, to compare what two texts are about."""

import itertools
import re
from collections.abc import Iterator
from functools import lru_cache

from storage.data_files import read_toml
from storage.text import fold

WORD = re.compile(r"[^\W\d_][^\W_]*(?:'[^\W\d_]+)?|\d[\w.]*\w|\d")
CJK_RANGES = r"\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"  # of scripts that stand without spaces
CJK = re.compile(f"[{CJK_RANGES}]")
CONTENT = re.compile(  # katakana, Chinese characters, hangul, anything else; not hiragana, which is grammar mostly
    rf"[\u30a1-\u30ff]+|[\u3400-\u9fff]+|[\uac00-\ud7af]+|[^{CJK_RANGES}]+"
)
ELISION = re.compile(r"^(?:[cdjlmnst]|qu|dell|nell|sull|all|un)'(?=\w{2})")  # of French and Italian: d'Elmsund
ASKING = re.compile("[何誰幾几谁什么哪]")
ENGLISH_STOP_WORDS = frozenset(
    "a about above after again all also am an and any are as at be because been before being below between both but "
    "by can cannot could did do does doing down during each few for from further get gets getting got had has have "
    "having he her here hers him his how i if in into is it its itself just many may me might more most much must my "
    "no nor not now of off on once only or other our out over own per same shall she should so some still such tell "
    "than that the their them then there these they this those to through too under until up upon us very was we were "
    "what when where which while who whom whose why will with would you your yes please give say says said according "
    "one"
    "".split()
)
# Those of other languages that mean nothing in English: “die” and “war” do.
STOP_WORDS = ENGLISH_STOP_WORDS | frozenset(
    "der das ein eine und oder ist sind von zu im in mit für auf nicht le la les un une et est de du des en".split()
)
SUFFIXES = ("ations", "ation", "ings", "ing", "edly", "ed", "es", "s", "ly", "e")
VERB_OF_FORM = {
    form: verb
    for verb, forms in read_toml("trainer.ask.citations", "irregular_verbs.toml").items()
    for form in forms.split()
}


@lru_cache(maxsize=50_000)
def stem(word: str) -> str:
    """A word without the endings that English inflects it with, or its verb: enough to find it again.

    >>> stem("opened"), stem("cities"), stem("city"), stem("founded"), stem("found")
    ('open', 'citi', 'citi', 'found', 'find')
    """
    word = VERB_OF_FORM.get(word, word)
    for suffix in SUFFIXES:
        if word.endswith(suffix) and len(word) - len(suffix) >= 3 and not word.endswith("ss"):
            word = word[: -len(suffix)]
            break
    return word[:-1] + "i" if word.endswith("y") and len(word) > 3 else word


def words_of(text: str) -> list[str]:
    """The words of a text that carry meaning, stemmed, in their order; numbers are among them."""
    return [stemmed for _, stemmed in words_and_stems(text)]


def words_and_stems(text: str) -> list[tuple[str, str]]:
    """The same, each with the word that it comes from."""
    folded = (ELISION.sub("", word.removesuffix("'s")) for word in _words(fold(text)))
    return [(word, stem(word)) for word in folded if word not in STOP_WORDS and _tells(word)]


def _tells(word: str) -> bool:
    return len(word) > 1 or word.isdigit() or CJK.match(word) is not None


def _words(folded: str) -> Iterator[str]:
    """Words as they are spelled; of scripts without spaces pairs of characters."""
    for word in WORD.findall(folded):
        if not CJK.search(word):
            yield word
            continue
        for run in CONTENT.findall(ASKING.sub(" ", word)):
            is_pairs = CJK.match(run) and len(run) > 2 and not "\u30a1" <= run[0] <= "\u30ff"
            yield from map("".join, itertools.pairwise(run)) if is_pairs else [run.strip()]

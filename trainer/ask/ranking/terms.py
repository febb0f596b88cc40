"""Terms of a text, for BM25 and comparisons: stemmed words, numbers, and pairs of characters in CJK scripts."""

import re
import threading
import unicodedata

import Stemmer

TOKEN = re.compile(r"\d+(?:[.,]\d+)*|[^\W\d_]+(?:['’][^\W\d_]+)?\d*|\d+")
CJK = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]+")
STOP_WORDS = frozenset(
    "a an and are as at be been but by can could did do does for from had has have how i if in into is it its me my no "
    "not of on or our shall she should so than that the their them then there these they this those to us was we were "
    "what when where which who whom whose why will with would you your about any all also just more most much many "
    "der die das und ist ein eine wie was wer wo wann le la les un une et est de des du que qui el los las y es".split()
)
_local = threading.local()  # a stemmer keeps a cache, which threads must not share


def terms(text: str) -> list[str]:
    """Terms in the order of the text, without stop words.

    >>> terms("How deep are the lakes?"), terms("1,200 m")
    (['deep', 'lake'], ['1200', 'm'])
    """
    return [term for _, term in words_and_terms(text)]


def words_and_terms(text: str) -> list[tuple[str, str]]:
    """The same, each with the word that it comes from."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    words = [word for word in TOKEN.findall(folded) if word not in STOP_WORDS]
    stems = _stemmer().stemWords([word.replace("’", "'") for word in words])
    pairs: list[tuple[str, str]] = []
    for word, stem in zip(words, stems, strict=True):
        if CJK.search(word):
            pairs += [(pair, pair) for pair in _pairs(word)]
        else:
            pairs.append((word, _number(stem) if word[0].isdigit() else _bare(stem)))
    return pairs


def _stemmer() -> "Stemmer.Stemmer":
    if not hasattr(_local, "stemmer"):
        _local.stemmer = Stemmer.Stemmer("english")
    stemmer: Stemmer.Stemmer = _local.stemmer
    return stemmer


def _number(digits: str) -> str:
    """A number without separators of thousands, so that 1,200 and 1200 are one."""
    return re.sub(r"[.,](?=\d{3}(?:\D|$))", "", digits)


def _bare(word: str) -> str:
    """A word without accents, which people leave out when they type."""
    return "".join(c for c in unicodedata.normalize("NFKD", word) if not unicodedata.combining(c))


def _pairs(word: str) -> list[str]:
    return [word[k : k + 2] for k in range(len(word) - 1)] or [word]

"""English words for kinds of things: singular, without articles, and with *a* or *an* by their sound.

The tables (`nouns.toml`) are our own, not a library's: a class set is found by the folded noun, which no update may
change.
"""

import re
import unicodedata

from storage.data_files import read_toml
from storage.text import fold, one_line

DETERMINERS = set(
    "a an the my our your his her hers its their mine this that these those some all one another any each every own"
    " of".split()  # one of my dogs
)
NUMBERS = set("two three four five six seven eight nine ten twelve both several many few".split())
PREPOSITIONS = set("of with without in on at from for by under behind".split())  # pair of shoes, dog with spots
POSSESSIVE = re.compile(r"\w+(['’]s|s['’])$", re.IGNORECASE)
AROUND = ' .,;:!?"“”„«»'  # what phones put at the end of a word, and around it

_TABLES = read_toml("storage", "nouns.toml")
IRREGULAR: dict[str, str] = _TABLES["irregular"]  # singular by plural


def _words(table: str) -> frozenset[str]:
    return frozenset(_TABLES[table].split())


# ---- plurals

ALWAYS_PLURAL, SINGULAR_IN_S = _words("always_plural"), _words("singular_in_s")
IN_IE, IN_OE = _words("singular_in_ie"), _words("singular_in_oe")
COMPOUNDS: list[str] = _TABLES["compounds"].split()  # grandchildren, werewolves
NO_MEN = _words("no_men")


def singular(word: str) -> str:
    """The singular of a noun that may be a plural.

    >>> [singular(word) for word in ("dogs", "puppies", "boxes", "glasses", "bus", "wolves")]
    ['dog', 'puppy', 'box', 'glasses', 'bus', 'wolf']
    """
    low = word.casefold()
    if low in ALWAYS_PLURAL or low in SINGULAR_IN_S:
        return word
    if low in IRREGULAR:
        return _cased(word, IRREGULAR[low])
    if low not in NO_MEN and (end := next((end for end in COMPOUNDS if low.endswith(end)), "")):
        return word[: -len(end)] + _cased(word[-len(end) :], IRREGULAR[end])
    if re.fullmatch(r"[A-Z]{2,}s", word):  # TVs, PCs
        return word[:-1]
    if len(low) < 4 or not low.isascii() or not low.endswith("s") or low.endswith(("ss", "us", "'s")):
        return word
    if low.endswith("ies") and low not in IN_IE:
        return word[:-3] + ("Y" if word.isupper() else "y")
    if low.endswith(("sses", "xes", "ches", "shes", "zzes")) or (low.endswith("oes") and low not in IN_OE):
        return word[:-2]
    return word[:-1]


def _cased(word: str, as_in: str) -> str:
    return as_in.upper() if word.isupper() else as_in.capitalize() if word[:1].isupper() else as_in


def bare(phrase: str) -> str:
    """A kind of thing without article and owner, its noun in the singular: the last word, or that before *of*.

    >>> bare("a dog"), bare("my two dogs."), bare("Anna's Coffee Mugs"), bare("pairs of shoes"), bare("THE")
    ('dog', 'dog', 'Coffee Mug', 'pair of shoes', 'THE')
    """
    words = one_line(phrase).strip(AROUND).split()
    several = _one(words) != words
    while len(words) > 1 and (_is_determiner(words[0]) or (several and _is_number(words[0]))):
        words = words[1:]
    return " ".join(_one(words))


def _one(words: list[str]) -> list[str]:
    """A phrase for one of a thing, whose noun is the last word, or the one before a preposition."""
    ends = (k for k in range(1, len(words) - 1) if words[k].casefold() in PREPOSITIONS)
    noun = next(ends, len(words)) - 1
    return [singular(word) if k == noun else word for k, word in enumerate(words)]


def _is_determiner(word: str) -> bool:
    return word.casefold() in DETERMINERS or POSSESSIVE.match(word) is not None


def _is_number(word: str) -> bool:
    return word.casefold() in NUMBERS or word.isdecimal()


def folded(noun: str) -> str:
    """A kind of thing as the class set is found and drawn by: the same for "Dog", "dogs", "a dog" and "my dog"."""
    return fold(bare(noun))


# ---- articles

VOWEL_LETTERS = set("aefhilmnorsx8")  # whose names begin with a vowel's sound
VOWELS = set("aeiou")
SPELLED = _words("spelled")  # though in small letters
SHORT_WORDS = _words("short_words")  # not spelled, though in capitals
SILENT_H = re.compile(r"hour|honest|honou?r|heir|hors\b")
CONSONANT_SOUND = re.compile(  # written with a vowel, said with y or w
    r"uni(?=[bcdflopqstvx]|$|-)|unan|u(?=bi|fol|ke|kr|ku|ra|ri[nc]|s[aeu]|t[aeio]|v|ga|$|-)"
    r"|eu|ewe|one(?!i)|once\b|ouija"
)
VOWEL_SOUND = re.compile(r"unin|unim|uniden|y(?=tt|psi)|x(?=box|ray)")


def article(phrase: str) -> str:
    """*a* or *an*, by the sound of the first word.

    >>> [article(word) for word in ("dog", "hour glass", "unicorn", "MRI", "8-ball", "one-eyed cat")]
    ['a', 'an', 'a', 'an', 'an', 'a']
    """
    first_word = re.search(r"[^\W_]+(?:['’][^\W_]+)?", phrase)
    if not first_word:
        return "a"
    word = first_word[0]
    if word[0].isdigit():
        digits = re.match(r"\d+", phrase[first_word.start() :].replace(",", ""))
        return "an" if digits and (digits[0][0] == "8" or _says_eleven(digits[0])) else "a"
    plain = "".join(c for c in unicodedata.normalize("NFD", word) if not unicodedata.combining(c))
    return "an" if _begins_with_vowel(plain) else "a"


def _says_eleven(digits: str) -> bool:
    """Whether a number is said with eleven or eighteen first: 11, 18, 11,000, not 110."""
    return digits[:2] in ("11", "18") and len(digits) % 3 == 2


def _begins_with_vowel(word: str) -> bool:
    low = word.casefold()
    if _is_spelled(word):
        return low[0] in VOWEL_LETTERS
    if SILENT_H.match(low):
        return True
    return bool(VOWEL_SOUND.match(low)) or (low[0] in VOWELS and not CONSONANT_SOUND.match(low))


def _is_spelled(word: str) -> bool:
    """Whether a word is said letter by letter: MRI, X-ray, TV, USB; not NASA or LEGO, nor words without capitals."""
    if not word.isascii():
        return False
    letters = re.match(r"[A-Za-z]+", word)
    if not letters:
        return False
    head, low = letters[0], letters[0].casefold()
    if (len(head) == 1 and low != "a") or low in SPELLED or not set(low) & set("aeiouy"):
        return True
    return head.isupper() and len(head) <= 3 and low not in SHORT_WORDS


def with_article(phrase: str) -> str:
    """A phrase with *a* or *an* before it.

    >>> with_article("umbrella")
    'an umbrella'
    """
    return f"{article(phrase)} {phrase}"


def class_prompt(noun: str) -> str:
    """The prompt that the prior is preserved for: one for "Dog", "dogs" and "a dog", which so share a class set."""
    return f"a photo of {with_article(folded(noun))}"

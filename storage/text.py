"""Text as people send it: normalised, without what is invisible or turns a line round, and folded for comparisons.

Categories are Unicode's (UAX #44): L letters, M marks, N numbers; Cc controls, Cf format, Cs surrogates, Co private.
"""

import re
import unicodedata
from collections.abc import Sequence

JOINERS = "\u200c\u200d"  # which words of many scripts, and emoji of several parts, are written with
EMOJI_STYLE, KEYCAP = "\ufe0f", "\u20e3"
STYLES = "\ufe0e" + EMOJI_STYLE
INVISIBLE = re.compile(  # letters and marks without a shape (Default_Ignorable_Code_Point), styles of emoji aside
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0d\uffa0\U000e0100-\U000e01ef]"
)
REMOVED = {"Cc", "Cf", "Cs", "Cn", "Zl", "Zp"}
ESCAPES = re.compile(
    r"(?:\x1b\]|\x9d)[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?"  # OSC, which may write to the clipboard
    r"|\x1b[PX^_][^\x1b\x9c]*(?:\x1b\\|\x9c)?"
    r"|(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?"
    r"|\x1b[ -/]*[0-~]?"
)
LIKE_APOSTROPHES, LIKE_HYPHENS = "’‘ʼ＇`´", "\u2010\u2011\ufe63\uff0d"
APOSTROPHES = str.maketrans(dict.fromkeys(LIKE_APOSTROPHES, "'"))
HYPHENS = str.maketrans(dict.fromkeys(LIKE_HYPHENS, "-"))
SPELLINGS = {  # of what is folded into one
    "'": f"['{LIKE_APOSTROPHES}]",
    "-": f"[-{LIKE_HYPHENS}]",
    "ss": "(?:ss|ß|ẞ)",
    "i\u0307": "(?:i\u0307|İ)",
}
IN_WORDS = "·\u0387\u055f\u05f3\u05f4\u0f0b\u30fb"  # punctuation within words: Catalan, Hebrew, Tibetan, Japanese


def clean(text: str) -> str:
    r"""Text in NFC without control characters, escape sequences, bidi controls and whatever else cannot be seen.

    Line breaks and tabs become spaces; joiners stay between what they join.

    >>> clean("re\u202ex\x1b]52;c;aGk=\x07 dog\n"), clean("Mu\u0308ller")
    ('rex dog ', 'Müller')
    """
    if text.isascii() and text.isprintable():
        return text
    before = ""
    while text != before:  # what is removed may have stood between what joins, or composes, once it is gone
        before, text = text, _cleaned(text)
    return text


def _cleaned(text: str) -> str:
    text = unicodedata.normalize("NFC", INVISIBLE.sub("", _without_escapes(text)))
    spaced = "".join(" " if c in "\t\n\r\v\f\x85\u2028\u2029" else c for c in text)
    return "".join(c for k, c in enumerate(spaced) if _stays(spaced, k))


def one_line(text: str) -> str:
    """Text on one line, with single spaces between words and none around them."""
    return " ".join(clean(text).split())


def visible(text: str) -> str:
    """Text as a terminal or a log may show it: line breaks and tabs as they are, all else as `clean` leaves it."""
    return "\n".join("\t".join(clean(part) for part in line.split("\t")) for line in text.split("\n"))


def fold(text: str) -> str:
    r"""Text for comparisons: what differs in case, in normalisation, in the kind of apostrophe or by joiners is one.

    >>> fold("Zoe\u0308’s") == fold("ZOË'S")
    True
    """
    folded = unicodedata.normalize("NFC", text).casefold().translate(APOSTROPHES).translate(HYPHENS)
    return unicodedata.normalize("NFC", "".join(c for c in folded if c not in JOINERS)).strip()


def any_spelling(name: str) -> str:
    """A regular expression, to be matched whatever the case, for a name in all spellings that are folded into one.

    >>> pattern = any_spelling("O’Neil-Strauß")
    >>> bool(re.fullmatch(pattern, "o'neil\u2011STRAUSS", re.IGNORECASE)), bool(re.fullmatch(pattern, "Oneil"))
    (True, False)
    """
    parts = re.split("(ss|i\u0307|.)", fold(name), flags=re.DOTALL)
    return f"[{JOINERS}]*".join(SPELLINGS.get(part) or re.escape(part) for part in parts if part)


def listed(names: Sequence[str]) -> str:
    """Names as an enumeration: with commas, and an *and* before the last.

    >>> listed(["rex"]), listed(["rex", "mia", "tom"])
    ('rex', 'rex, mia and tom')
    """
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def shorten(text: str, longest: int) -> str:
    """Text of at most so many characters, with an ellipsis where it was cut.

    >>> shorten("a very long name", 8)
    'a very …'
    """
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def is_word_character(character: str) -> bool:
    """Whether words of some language are written with it: a letter, a mark on one, a digit, a dot within a word."""
    return unicodedata.category(character)[0] in "LMN" or character in JOINERS or character in IN_WORDS


def find_word(text: str, word: str) -> tuple[int, int] | None:
    """Where a word, or several, first stands in a text by itself, whatever its case: start and end.

    >>> find_word("Hotdogs, a Dog", "dog")
    (11, 14)
    """
    for match in re.finditer(re.escape(word), text, re.IGNORECASE):
        around = text[match.start() - 1 : match.start()] + text[match.end() : match.end() + 1]
        if not any(is_word_character(character) or character == "_" for character in around):
            return match.span()
    return None


def _without_escapes(text: str) -> str:
    """Leave out escape sequences of terminals whole (ECMA-48): without ESC alone their rest would be read as text."""
    return ESCAPES.sub("", text) if "\x1b" in text or "\x9b" in text or "\x9d" in text else text


def _stays(text: str, at: int) -> bool:
    character = text[at]
    if character in JOINERS:
        return 0 < at < len(text) - 1 and _joins(text[at - 1]) and _joins(text[at + 1])
    if character in STYLES:
        return text[at + 1 : at + 2] == KEYCAP or unicodedata.category(text[at - 1 : at] or "a")[0] in "SP"
    if "\U000e0020" <= character <= "\U000e007f":  # tags, which flags of regions are written with
        return False
    return unicodedata.category(character) not in REMOVED


def _joins(character: str) -> bool:
    return not character.isascii() and (unicodedata.category(character)[0] in "LMS" or character == EMOJI_STYLE)


def duration(seconds: float) -> str:
    """A length of time in words.

    >>> duration(7.6), duration(95), duration(7300)
    ('8 s', '1 min 35 s', '2 h 2 min')
    """
    s = round(seconds)
    if s < 60:
        return f"{s} s"
    return f"{s // 60} min {s % 60} s" if s < 3600 else f"{s // 3600} h {s % 3600 // 60} min"


def plural(count: int, noun: str) -> str:
    """Count a noun.

    >>> plural(1, "photo"), plural(3, "photo")
    ('1 photo', '3 photos')
    """
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"

"""Decoding text whose declared charset may be wrong."""

import re
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE, getincrementaldecoder

from charset_normalizer import from_bytes

BOMS = ((BOM_UTF8, "utf-8-sig"), (BOM_UTF16_LE, "utf-16"), (BOM_UTF16_BE, "utf-16"))
META = re.compile(rb"""<meta[^>]{0,200}?charset\s*=\s*["']?\s*([A-Za-z0-9_:.-]{1,40})""", re.IGNORECASE)
STATEFUL = ("iso-2022", "utf-16", "utf-7", "hz")  # their bytes may happen to be valid UTF-8, or ASCII
META_WITHIN_BYTES = 4096
GUESSED_BYTES = 2**17
WESTERN = 0.2  # share of bytes that are not ASCII, below which a text has Latin letters


def decoded(data: bytes, declared: str = "") -> str:
    """Text of some bytes: UTF-8 where it is valid UTF-8, whatever is declared; else as declared; else by a guess.

    Text in another charset is hardly ever valid UTF-8 by chance, while declarations are often left over.
    """
    for bom, charset in BOMS:
        if data.startswith(bom):
            return data.decode(charset, "replace")
    meta = META.search(data[:META_WITHIN_BYTES])
    charsets = [_known(name) for name in (declared, meta[1].decode("ascii") if meta else "") if name]
    stateful = [name for name in charsets if name.startswith(STATEFUL)]
    for charset in (*stateful, "utf-8", *charsets):
        text = _strictly(data, charset)
        if text is not None:
            return text
    if _is_cut_utf8(data):
        return data.decode("utf-8", "ignore")
    foreign = sum(byte >= 0x80 for byte in data[:GUESSED_BYTES])
    if foreign < WESTERN * min(len(data), GUESSED_BYTES):
        return data.decode("cp1252", "replace")  # as browsers do
    best = from_bytes(data[:GUESSED_BYTES]).best()
    return data.decode(best.encoding if best else "cp1252", "replace")


def _known(charset: str) -> str:
    """A charset by the name under which browsers decode it (WHATWG Encoding): Latin-1 and ASCII are Windows-1252."""
    name = charset.strip().lower()
    return "cp1252" if name in ("iso-8859-1", "latin1", "latin-1", "us-ascii", "ascii", "windows-1252") else name


def _strictly(data: bytes, charset: str) -> str | None:
    try:
        return data.decode(charset)
    except (UnicodeError, LookupError):
        return None


def _is_cut_utf8(data: bytes) -> bool:
    """Whether it would be UTF-8 but for a character that is not whole at its end: it was cut off at the size limit."""
    try:
        getincrementaldecoder("utf-8")().decode(data)
    except UnicodeError:
        return False
    return True

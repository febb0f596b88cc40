"""Kinds of files: which are taken as photos, in one list for all front ends, and what the others are called.

A file is told by its first bytes. Its name and the type that a chat tells count for nothing: both are often wrong.
"""

import re
from typing import NamedTuple

from storage.data_files import read_toml


class FileType(NamedTuple):
    """A kind of picture that is taken."""

    name: str  # as people call it
    formats: tuple[str, ...]  # as Pillow calls it
    extensions: tuple[str, ...]  # without their dots
    media_types: tuple[str, ...]


TAKEN = (
    FileType("JPEG", ("JPEG",), ("jpg", "jpeg"), ("image/jpeg",)),
    FileType("PNG", ("PNG",), ("png",), ("image/png",)),
    FileType("WebP", ("WEBP",), ("webp",), ("image/webp",)),
    FileType("HEIC", ("HEIF",), ("heic", "heif"), ("image/heic", "image/heif")),
    FileType("AVIF", ("AVIF",), ("avif",), ("image/avif",)),
    FileType("TIFF", ("TIFF",), ("tif", "tiff"), ("image/tiff",)),
    FileType("BMP", ("BMP",), ("bmp",), ("image/bmp",)),
    FileType("GIF", ("GIF",), ("gif",), ("image/gif",)),
)
FORMATS = tuple(name for kind in TAKEN for name in kind.formats)
EXTENSIONS = tuple(extension for kind in TAKEN for extension in kind.extensions)
MEDIA_TYPES = tuple(media_type for kind in TAKEN for media_type in kind.media_types)
NAMES = f"{', '.join(kind.name for kind in TAKEN[:-1])} or {TAKEN[-1].name}"

_OTHERS = read_toml("bot.photos", "signatures.toml")
ADVICE: dict[str, str] = _OTHERS["advice"]  # by what a file is: what to do about it
PATTERNS = tuple(
    (re.compile(sign.encode(), re.DOTALL | re.IGNORECASE), what, sort) for sign, what, sort in _OTHERS["signatures"]
)
PICTURES = {ADVICE["picture"], ADVICE["raw photo"]}

SIGNATURES = {  # of the kinds that are taken, by Pillow's names; brands of HEIC and AVIF are told apart below
    "JPEG": rb"\xff\xd8\xff",
    "PNG": rb"\x89PNG",
    "WEBP": rb"RIFF.{4}WEBP",
    "GIF": rb"GIF8",
    "TIFF": rb"II\*\0|MM\0\*|II\+\0|MM\0\+",
    "BMP": rb"BM.{12}[\x0c\x10\x28\x34\x38\x40\x6c\x7c]\0\0\0",
    "HEIF": rb".{4}ftyp",
}
KNOWN = {name: re.compile(sign, re.DOTALL) for name, sign in SIGNATURES.items()}
AVIF_BRAND = re.compile(rb".{4}ftyp(avi[fs]|(mif1|msf1|miaf).{0,200}?avi[fs])", re.DOTALL)
LOOKED_AT_BYTES = 2048  # no signature reaches further
TEXT = re.compile(rb"[\t\n\r\x20-\x7e\x80-\xff]*")


def format_of(data: bytes) -> str:
    """Pillow's name of the format of a file that is taken; empty for all others.

    >>> format_of(b"GIF89a"), format_of(b"%PDF-1.7")
    ('GIF', '')
    """
    head = data[:LOOKED_AT_BYTES]
    if other(head):
        return ""
    brands = head[: int.from_bytes(head[:4], "big")]
    if AVIF_BRAND.match(brands):
        return "AVIF"
    return next((name for name, sign in KNOWN.items() if sign.match(head)), "")


def other(data: bytes) -> tuple[str, str] | None:
    """What a file is that is known and not taken, with what to do about it.

    >>> other(b"%PDF-1.7")
    ('a PDF document', 'send the photos themselves')
    """
    head = data[:LOOKED_AT_BYTES]
    return next(((what, ADVICE[sort]) for sign, what, sort in PATTERNS if sign.match(head)), None)


def unreadable(data: bytes) -> str:
    """Why a file that is not taken is none: the rest of a sentence that begins with its name."""
    if known := other(data):
        what, advice = known
        return f"is {what}: {advice}" if advice in PICTURES else f"is not a picture but {what}: {advice}"
    head = data[:LOOKED_AT_BYTES]
    if head.strip() and TEXT.fullmatch(head) and _is_text(head):
        return f"is not a picture but text: send {NAMES}"
    return f"is not a picture ({NAMES})"


def _is_text(head: bytes) -> bool:
    """Whether bytes are UTF-8, but for a letter cut at their end."""
    try:
        head.decode()
    except UnicodeDecodeError as error:
        return error.end >= len(head) - 1 and error.start >= len(head) - 3
    return True

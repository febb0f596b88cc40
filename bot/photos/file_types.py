"""Kinds of files: which are taken as photos, in one list for all front ends, and what the others are called.

A file is told by its first bytes. Its name and the type that a chat tells count for nothing: both are often wrong.
"""

import re
from typing import NamedTuple


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

CONVERT = "save it as JPEG or PNG first"
ADVICE = {  # by what a file is: what to do about it
    "picture": CONVERT,
    "raw photo": "export it as JPEG first",
    "drawing": "save what it shows as JPEG or PNG first",
    "video": "send photos, or still frames of it",
    "movie": "send photos, or of a Live Photo the photo itself",
    "document": "send the photos themselves",
    "archive": "unpack it and send the photos themselves",
    "sound": "send photos",
}
PICTURES = {ADVICE["picture"], ADVICE["raw photo"]}

# The signature, matched at the start of a file, with what the file is and the kind of thing that it is.
OTHERS: tuple[tuple[bytes, str, str], ...] = (
    (rb"\xff\x0a|\0\0\0\x0cJXL \r\n", "a JPEG XL picture", "picture"),
    (rb"\0\0\0\x0cjP  \r\n|\xffO\xffQ", "a JPEG 2000 picture", "picture"),
    (rb"II\xbc", "a JPEG XR picture", "picture"),
    (rb"8BPS", "a Photoshop document", "picture"),
    (rb"gimp xcf", "a GIMP document", "picture"),
    (rb"v/1\x01", "an OpenEXR picture", "picture"),
    (rb"#\?(RADIANCE|RGBE)", "a Radiance HDR picture", "picture"),
    (rb"DDS ", "a DDS texture", "picture"),
    (rb"qoif", "a QOI picture", "picture"),
    (rb"icns", "an icon file", "picture"),
    (rb"\0\0[\x01\x02]\0[^\0]\0", "an icon file", "picture"),
    (rb"P[1-7]\s", "a Netpbm picture", "picture"),
    (rb".{128}DICM", "a DICOM file", "picture"),
    (rb"BPG\xfb", "a BPG picture", "picture"),
    (rb"FLIF", "a FLIF picture", "picture"),
    (rb"SIMPLE  =", "a FITS picture", "picture"),
    (rb"SDPX|XPDS", "a DPX picture", "picture"),
    (rb"\n[\0\x02-\x05]\x01[\x01\x02\x04\x08]", "a PCX picture", "picture"),
    (rb"\xd7\xcd\xc6\x9a|\x01\0\0\0.{36} EMF", "a Windows metafile", "drawing"),
    (rb"AT&TFORM", "a DjVu document", "document"),
    (rb"FUJIFILMCCD-RAW", "a raw photo (RAF)", "raw photo"),
    (rb".{4}ftypcrx", "a raw photo (CR3)", "raw photo"),
    (rb"II\*\0.{4}(?-i:CR)", "a raw photo (CR2)", "raw photo"),
    (rb"II(RO|RS)|MMOR", "a raw photo (ORF)", "raw photo"),
    (rb"IIU\0", "a raw photo (RW2)", "raw photo"),
    (rb"FOVb", "a raw photo (X3F)", "raw photo"),
    (rb"\0MRM", "a raw photo (MRW)", "raw photo"),
    (rb".{4}ftypqt|.{4}(moov|mdat|wide|free|skip|pnot)", "a QuickTime movie", "movie"),
    (rb".{4}ftypM4[AB]", "a sound recording", "sound"),
    (rb".{4}ftyp(?!heic|heix|heim|heis|hev[cxms]|mif1|mif2|msf1|avif|avis|miaf)", "a video", "video"),
    (rb"\x1aE\xdf\xa3", "a video", "video"),
    (rb"RIFF.{4}AVI |FLV\x01|0&\xb2u\x8ef\xcf\x11|\0\0\x01[\xb3\xba]|G(?!IF8).{187}G", "a video", "video"),
    (rb"OggS|ID3|\xff[\xf2\xf3\xfb]|fLaC|#!AMR|RIFF.{4}WAVE", "a sound recording", "sound"),
    (rb"PK\x03\x04.{26}(\[Content_Types\]|_rels/|word/|xl/|ppt/)", "an Office document", "document"),
    (rb"PK\x03\x04.{26}mimetypeapplication/vnd\.oasis", "an OpenDocument file", "document"),
    (rb"PK(\x03\x04|\x05\x06)", "a ZIP archive", "archive"),
    (rb"Rar!|7z\xbc\xaf|\x1f\x8b|BZh|\xfd7zXZ|.{257}ustar", "an archive", "archive"),
    (rb"\xd0\xcf\x11\xe0", "an Office document", "document"),
    (rb"%!PS|\xc5\xd0\xd3\xc6", "a PostScript file", "drawing"),
    (rb"bplist|\s*<\?xml[^>]*>\s*<!DOCTYPE plist", "an edit made by a photo app (AAE), not the photo", "document"),
    (rb"(\xef\xbb\xbf)?\s*((<\?xml|<!--|<!DOCTYPE svg).{0,900}?)?<svg", "an SVG drawing", "drawing"),
    (rb"(\xef\xbb\xbf)?\s*(<!--.{0,900}?)?<(!doctype html|html)", "a web page", "document"),
    (rb".{0,1000}%PDF-", "a PDF document", "document"),
)  # fmt: skip
PATTERNS = tuple((re.compile(sign, re.DOTALL | re.IGNORECASE), what, sort) for sign, what, sort in OTHERS)

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

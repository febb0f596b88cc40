"""Boxes of HEIC, AVIF and WebP files: what their headers tell of colours and of moving pictures.

Sources: ISO/IEC 14496-12 (boxes), 23008-12 (HEIF: `colr` among the item properties), RFC 9649 (WebP).
"""

import struct
from collections.abc import Iterator

from bot.photos.errors import PhotoError

BOXES_MOST = 10_000
NCLX = b"nclx"


def nclx(data: bytes) -> bytes:
    """The four bytes of cICP (primaries, transfer, matrix, full range) that a HEIC or AVIF tells; empty if it does not.

    A colour profile in the same file counts for more, and is left to the caller. Raises PhotoError for too many boxes.
    """
    colours = b""
    for meta in _boxes(data, b"meta"):
        for properties in _boxes(meta[4:], b"iprp"):
            for container in _boxes(properties, b"ipco"):
                for colour in _boxes(container, b"colr"):
                    if colour[:4] == NCLX and len(colour) >= 11 and not colours:
                        primaries, transfer, matrix = struct.unpack_from(">HHH", colour, 4)
                        colours = bytes([primaries & 255, transfer & 255, matrix & 255, colour[10] >> 7])
    return colours


def _boxes(data: bytes, wanted: bytes) -> Iterator[bytes]:
    """The bodies of the boxes of one kind."""
    at, count = 0, 0
    while at + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        head = 8
        if size == 1 and at + 16 <= len(data):
            (size,), head = struct.unpack_from(">Q", data, at + 8), 16
        # 0 means: to the end of the file (ISO/IEC 14496-12, 4.2).
        size = size or len(data) - at
        count += 1
        # A box shorter than its own header would never move on.
        if size < head:
            return
        if count > BOXES_MOST:
            raise PhotoError(f"is made of more than {BOXES_MOST:,} boxes, more than can be read: save it again")
        if kind == wanted:
            yield data[at + head : at + size]
        at += size


def check_webp(data: bytes) -> None:
    """Raise PhotoError if a WebP is animated, or made of too many chunks."""
    at, count, frames = 12, 0, 0
    while at + 8 <= len(data):
        kind, size = struct.unpack_from("<4sI", data, at)
        frames += kind == b"ANMF"
        if frames > 1:
            raise PhotoError("is animated, and only still pictures can be used")
        count += 1
        if count > BOXES_MOST:
            raise PhotoError(f"is made of more than {BOXES_MOST:,} chunks, more than can be read: save it again")
        # RIFF pads chunks to even lengths.
        at += 8 + size + size % 2

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

    Those of the primary item count, else the first: a file may hold thumbnails and gain maps with colours of their own.
    A colour profile in the same file counts for more, and is left to the caller. Raises PhotoError for too many boxes.
    """
    for meta in _boxes(data, b"meta"):
        primary = next((_item(each) for each in _boxes(meta[4:], b"pitm")), 0)
        for properties in _boxes(meta[4:], b"iprp"):
            told = {
                index: codes
                for container in _boxes(properties, b"ipco")
                for index, (kind, start, end) in enumerate(_spans(container), 1)
                if kind == b"colr" and (codes := _codes(container[start:end]))
            }
            own = {index for each in _boxes(properties, b"ipma") for index in _associated(each, primary)}
            return next((told[index] for index in sorted(told, key=lambda index: (index not in own, index))), b"")
    return b""


def _codes(colour: bytes) -> bytes:
    """The code points of a `colr` box of the kind nclx; empty if it is of another kind."""
    if colour[:4] != NCLX or len(colour) < 11:
        return b""
    primaries, transfer, matrix = struct.unpack_from(">HHH", colour, 4)
    return bytes([primaries & 255, transfer & 255, matrix & 255, colour[10] >> 7])


def _item(pitm: bytes) -> int:
    """The number of the primary item."""
    return int.from_bytes(pitm[4:8] if pitm[:1] > b"\0" else pitm[4:6], "big")


def _associated(ipma: bytes, item: int) -> set[int]:
    """Indexes of the properties of an item, from 1 (ISO/IEC 23008-12, 9.3.1)."""
    id_bytes, index_bytes = 4 if ipma[:1] > b"\0" else 2, 2 if ipma[3:4] and ipma[3] & 1 else 1
    at, found, mask = 8, set(), (1 << (8 * index_bytes - 1)) - 1  # the first bit says whether it is essential
    while at + id_bytes < len(ipma):
        is_item = int.from_bytes(ipma[at : at + id_bytes], "big") == item
        end = at + id_bytes + 1 + index_bytes * ipma[at + id_bytes]
        if is_item:
            numbers = range(at + id_bytes + 1, end, index_bytes)
            found |= {int.from_bytes(ipma[k : k + index_bytes], "big") & mask for k in numbers}
        at = end
    return found


def _boxes(data: bytes, wanted: bytes) -> Iterator[bytes]:
    """The bodies of the boxes of one kind."""
    return (data[start:end] for kind, start, end in _spans(data) if kind == wanted)


def _spans(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Kind, start and end of the body of each box."""
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
        yield kind, at + head, at + size
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

"""PNG files with only those chunks that make the picture, counted before anything is decoded.

Source: Portable Network Graphics (third edition), W3C 2025, section 11; cICP is of section 11.3.2.6.
"""

import struct
import zlib

from bot.photos.errors import PhotoError

SIGNATURE = b"\x89PNG\r\n\x1a\n"
CHUNKS_MOST = 50_000  # some programs write a chunk for every few hundred bytes
PROFILE_MOST_BYTES = 2**20  # unpacked; Pillow reads no larger ones
TEXT_MOST_BYTES, UNPACKED_MOST_BYTES = 2**16, 2**19  # of a text; Pillow reads none of more than 2**20
CRITICAL = {b"IHDR", b"PLTE", b"IDAT"}
ANCILLARY = {b"tRNS": 1, b"sRGB": 1, b"gAMA": 4, b"cHRM": 32, b"cICP": 4, b"eXIf": 8}  # with their least lengths
TEXTS = (b"XML:com.adobe.xmp\0", b"Raw profile type exif\0")  # which may tell the orientation
LEAST_TRNS = {0: 2, 2: 6}  # bytes of tRNS, by the type of colour
SPREAD = {2: 85, 4: 17}  # what values of so few bits are multiplied by to be of eight
END = struct.pack(">I", 0) + b"IEND" + struct.pack(">I", zlib.crc32(b"IEND"))


def clean(data: bytes) -> tuple[bytes, bytes]:
    """Return a PNG without all that its picture does not need, and the body of its cICP chunk, empty without one.

    A missing end is added: whether the pixels are all there, their own checksum and length tell. Raises PhotoError if
    there are more chunks than any program writes, or several pictures.
    """
    parts, at, count, cicp = [SIGNATURE], len(SIGNATURE), 0, b""
    while at + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        body = data[at + 8 : at + 8 + length]
        count += 1
        if count > CHUNKS_MOST:
            raise PhotoError(f"is made of more than {CHUNKS_MOST:,} chunks, more than can be read: save it again")
        if kind == b"IEND":
            break
        if kind == b"acTL" and int.from_bytes(body[:4], "big") > 1:
            raise PhotoError("is animated, and only still pictures can be used")
        if kind == b"cICP" and not cicp:
            cicp = body
        if kind in CRITICAL:
            whole = data[at : at + 12 + length]
            parts.append(whole if len(whole) == 12 + length else _chunk(kind, body))
        elif _is_kept(kind, body) and data[at + 8 + length : at + 12 + length] == _checksum(kind, body):
            parts.append(_transparency(body, data[24:26]) if kind == b"tRNS" else _chunk(kind, body))
        at += 12 + length
    return b"".join(parts) + END, cicp


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + _checksum(kind, body)


def _checksum(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", zlib.crc32(kind + body))


def _transparency(body: bytes, depth_and_colour: bytes) -> bytes:
    """The chunk of what is transparent, as Pillow compares it: grey of two or four bits is eight by then."""
    depth, colour = depth_and_colour
    if len(body) < LEAST_TRNS.get(colour, 1):
        return b""
    if colour == 0 and depth in SPREAD:
        body = struct.pack(">H", (int.from_bytes(body[:2], "big") & (2**depth - 1)) * SPREAD[depth])
    return _chunk(b"tRNS", body)


def _is_kept(kind: bytes, body: bytes) -> bool:
    """Whether an ancillary chunk is needed and can be read. A damaged one must not cost the photo."""
    if kind == b"iCCP":
        return _unpacked_bytes(body.partition(b"\0")[2][1:], PROFILE_MOST_BYTES) > 0
    if kind in (b"iTXt", b"zTXt", b"tEXt"):
        return body.startswith(TEXTS) and len(body) <= TEXT_MOST_BYTES and _is_readable_text(kind, body)
    return len(body) >= ANCILLARY.get(kind, len(body) + 1)


def _is_readable_text(kind: bytes, body: bytes) -> bool:
    """Whether a text is not packed, or can be unpacked and is not too large."""
    _, _, rest = body.partition(b"\0")
    if kind == b"zTXt":
        return _unpacked_bytes(rest[1:], UNPACKED_MOST_BYTES) > 0
    if kind == b"iTXt" and rest[:1] == b"\1":
        return rest.count(b"\0", 2) >= 2 and _unpacked_bytes(rest[2:].split(b"\0", 2)[2], UNPACKED_MOST_BYTES) > 0
    return True


def _unpacked_bytes(packed: bytes, most: int) -> int:
    """The size of what is packed; 0 if it cannot be unpacked, or is `most` bytes or more."""
    try:
        size = len(zlib.decompressobj().decompress(packed, most))
    except zlib.error:
        return 0
    return size if size < most else 0

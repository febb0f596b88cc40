"""PNG files with only those chunks that make the picture, counted before anything is decoded.

Source: Portable Network Graphics (third edition), W3C 2025, section 11; cICP is of section 11.3.2.6.
"""

import struct
import zlib

from bot.photos.errors import PhotoError

SIGNATURE = b"\x89PNG\r\n\x1a\n"
CHUNKS_MOST = 50_000  # some programs write a chunk for every few hundred bytes
PROFILE_MOST_BYTES = 2**20  # unpacked; Pillow reads no larger ones
TEXT_MOST_BYTES = 2**16
KEPT = {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"iCCP", b"sRGB", b"gAMA", b"cHRM", b"cICP", b"eXIf"}
TEXTS = (b"XML:com.adobe.xmp\0", b"Raw profile type exif\0")  # which may tell the orientation
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
        if _is_kept(kind, body):
            whole = data[at : at + 12 + length]
            parts.append(whole if len(whole) == 12 + length else _chunk(kind, body))
        at += 12 + length
    return b"".join(parts) + END, cicp


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _is_kept(kind: bytes, body: bytes) -> bool:
    if kind == b"iCCP":
        return _is_readable_profile(body)
    if kind in (b"iTXt", b"zTXt", b"tEXt"):
        return body.startswith(TEXTS) and len(body) <= TEXT_MOST_BYTES
    return kind in KEPT


def _is_readable_profile(body: bytes) -> bool:
    """Whether a colour profile can be unpacked, and is not too large."""
    packed = body.partition(b"\0")[2][1:]
    unpacking = zlib.decompressobj()
    try:
        unpacked = unpacking.decompress(packed, PROFILE_MOST_BYTES)
    except zlib.error:
        return False
    return len(unpacked) < PROFILE_MOST_BYTES

"""Photos that are made to take long: small to send, dear to decode."""

import struct
import zlib
from collections.abc import Callable, Iterator
from functools import cache
from random import Random

from PIL import Image

from tests.support.photo_files import png_chunks, png_of, saved, scene

SOS = b"\xff\xda"


def many_scans(count: int, side_px: int = 2000) -> bytes:
    """A progressive JPEG whose last scan, which says nothing, comes again and again."""
    whole = _progressive(side_px)
    last = whole.rindex(SOS)
    return whole[:last] + count * whole[last:-2] + whole[-2:]


@cache
def _progressive(side_px: int) -> bytes:
    return saved(Image.new("RGB", (side_px, side_px), (90, 120, 150)), "JPEG", progressive=True)


def padded_jpeg(length: int) -> bytes:
    """A JPEG with much padding between its segments."""
    whole = saved(scene(), "JPEG")
    return whole[:2] + length * b"\xff" + whole[2:]


def many_segments(count: int) -> bytes:
    """A JPEG of empty comments."""
    whole = saved(scene(), "JPEG")
    return whole[:2] + count * b"\xff\xfe\0\x02" + whole[2:]


def huge_metadata(count: int) -> bytes:
    """A JPEG with a colour profile of many parts, and an EXIF block whose directories lead to one another."""
    whole = saved(scene(), "JPEG")
    loop = b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", 5000) + 5000 * struct.pack("<HHII", 0x8769, 4, 1, 8)
    exif = b"\xff\xe1" + struct.pack(">H", len(loop) + 2) + loop
    parts = (b"ICC_PROFILE\0" + bytes([1 + k % 255, 255]) + bytes(65_000) for k in range(count))
    profile = b"".join(b"\xff\xe2" + struct.pack(">H", len(part) + 2) + part for part in parts)
    return whole[:2] + exif + profile + whole[2:]


def many_chunks(count: int, kind: bytes = b"tEXt") -> bytes:
    """A PNG of empty chunks."""
    header, *rest = png_chunks(saved(scene()))
    return png_of([header])[:33] + count * png_of([(kind, b"")])[8:] + png_of(rest)[8:]


def packed_png(side_px: int) -> bytes:
    """A PNG whose few bytes are many pixels, with a text and a colour profile that unpack to much."""
    header = struct.pack(">IIBBBBB", side_px, side_px, 8, 6, 0, 0, 0)
    zeros = zlib.compress(bytes(side_px * (4 * side_px + 1)), 1)
    bomb = zlib.compress(bytes(2**26), 1)
    chunks = [(b"IHDR", header), (b"iCCP", b"p\0\0" + bomb), (b"zTXt", b"t\0\0" + bomb), (b"IDAT", zeros)]
    return png_of([*chunks, (b"IEND", b"")])


def commented_gif(count: int) -> bytes:
    """A GIF with a comment of one-byte blocks."""
    whole = saved(scene(), "GIF")
    start = 13 + 3 * 2 ** ((whole[10] & 7) + 1)
    return whole[:start] + b"!\xfe" + count * b"\x01x" + b"\0" + whole[start:]


def moving(kind: str, frames: int) -> bytes:
    """An animation of many frames."""
    pictures = [scene(64, 64, seed=n) for n in range(8)] * (frames // 8)
    return saved(pictures[0], kind, save_all=True, append_images=pictures[1:], duration=20)


KINDS: dict[str, Callable[[Random], bytes]] = {
    "empty scans": lambda r: many_scans(r.randint(200, 900)),
    "scans": lambda r: many_scans(r.randint(70, 85), 7900),
    "padding": lambda r: padded_jpeg(r.randint(10**6, 10**7)),
    "segments": lambda r: many_segments(r.randint(10**5, 10**6)),
    "metadata": lambda r: huge_metadata(r.randint(50, 400)),
    "chunks": lambda r: many_chunks(r.randint(10**5, 10**6)),
    "data chunks": lambda r: many_chunks(r.randint(10**5, 10**6), b"IDAT"),
    "packed": lambda r: packed_png(r.choice([1000, 3000, 7900, 60_000 // 8])),
    "comment": lambda r: commented_gif(r.randint(10**6, 10**7)),
    "WebP animation": lambda r: moving("WEBP", r.choice([16, 64])),
    "AVIF animation": lambda r: moving("AVIF", 16),
    "HEIC sequence": lambda r: moving("HEIF", 16),
}


def slow_photos(count: int, seed: int = 0) -> Iterator[tuple[str, bytes]]:
    """`count` photos of all kinds in turn, with what each is called."""
    chance, names = Random(seed), list(KINDS)
    for k in range(count):
        name = names[k % len(names)]
        yield name, KINDS[name](chance)

"""Photos with damaged notes, of depths that few programs write, and of kinds of JPEG and TIFF that are not read."""

import struct
import zlib
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.support.photo_files import accepted, opened, png_chunks, png_of, reason, saved, scene

BOMB = zlib.compress(bytes(2**25))  # thirty kilobytes that unpack to thirty megabytes
ODD_CHUNKS = {
    "packed XMP that is a bomb": (b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + BOMB),
    "packed EXIF that is a bomb": (b"zTXt", b"Raw profile type exif\0\0" + BOMB),
    "a packed comment that is a bomb": (b"zTXt", b"Comment\0\0" + BOMB),
    "XMP that cannot be unpacked": (b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0torn"),
    "a short gAMA": (b"gAMA", b"\0"),
    "a short cHRM": (b"cHRM", b"\0\0"),
    "an empty sRGB": (b"sRGB", b""),
    "a short tRNS": (b"tRNS", b"\0"),
    "a profile of one byte": (b"iCCP", b"x"),
    "broken EXIF": (b"eXIf", b"garbage"),
}


@pytest.mark.parametrize("what", ODD_CHUNKS)
def test_a_chunk_that_cannot_be_read_does_not_cost_the_photo(what: str) -> None:
    header, *rest, end = png_chunks(saved(scene()))
    whole = accepted(saved(scene())).data
    assert accepted(png_of([header, ODD_CHUNKS[what], *rest, end])).data == whole
    assert accepted(png_of([header, *rest, ODD_CHUNKS[what], end])).data == whole


def test_a_note_with_a_wrong_checksum_does_not_cost_the_photo() -> None:
    whole = saved(scene())
    note = struct.pack(">I4sII", 4, b"gAMA", 100_000, 0)
    assert accepted(whole[:33] + note + whole[33:]).data == accepted(whole).data


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_shallow_grey_with_a_transparent_value(depth: int) -> None:
    values = np.kron(np.arange(64).reshape(8, 8) % 2**depth, np.ones((12, 12), int)).astype(np.uint8)
    bits = np.unpackbits(values[..., None], axis=2)[..., 8 - depth :].reshape(96, -1)
    rows = b"".join(b"\0" + np.packbits(row).tobytes() for row in bits)
    header = (b"IHDR", struct.pack(">IIBBBBB", 96, 96, depth, 0, 0, 0, 0))
    for clear in (0, 1, 2**depth - 1):
        chunks = [header, (b"tRNS", struct.pack(">H", clear)), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
        picture = opened(png_of(chunks))
        opacity = np.asarray(picture.getchannel("A")) if picture.mode == "RGBA" else np.full((96, 96), 255)
        assert ((opacity == 0) == (values == clear)).all(), clear


def tiff(samples: NDArray[Any], bits: int, photometric: int = 1, sort: int = 1, data: bytes = b"") -> bytes:
    """A TIFF of one strip, as the specification has it."""
    height, width = samples.shape[:2]
    colours, strip = samples.shape[2] if samples.ndim > 2 else 1, data or samples.tobytes()
    tags = {256: width, 257: height, 258: bits, 259: 1, 262: photometric, 277: colours, 278: height, 279: len(strip)}
    tags |= {273: 8 + 2 + 12 * 10 + 4, 339: sort}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in sorted(tags.items()))
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4) + strip


GREY = np.asarray(scene().convert("L")).astype(np.int64)


def packed12(values: NDArray[np.int64]) -> bytes:
    first, second = values[:, ::2], values[:, 1::2]
    return np.stack([first >> 4, (first & 15) << 4 | second >> 8, second & 255], -1).astype(np.uint8).tobytes()


UNMEASURED = (GREY / 255).astype("<f4")
UNMEASURED[GREY == 0] = np.inf  # programs of science mark so what was not measured; it is dark then
DEEP = {
    "16 bits": tiff((GREY * 257).astype("<u2"), 16),
    "16 bits, white is zero": tiff((65535 - GREY * 257).astype("<u2"), 16, 0),
    "16 bits with a sign": tiff((GREY * 257 // 2).astype("<i2"), 16, 1, 2),
    "12 bits": tiff(GREY, 12, data=packed12(GREY * 16 + GREY // 16)),
    "32 bits": tiff((GREY * 0x01010101).astype("<u4"), 32),
    "32 bits with a sign": tiff((GREY * 0x00808080).astype("<i4"), 32, 1, 2),
    "32 bits, of which eight are used": tiff(GREY.astype("<i4"), 32, 1, 2),
    "floats": tiff((GREY / 255).astype("<f4"), 32, 1, 3),
    "floats of which one is infinite": tiff(UNMEASURED, 32, 1, 3),
}


@pytest.mark.parametrize("what", DEEP)
def test_grey_of_any_depth_is_as_light_as_it_was(what: str) -> None:
    found = np.asarray(opened(DEEP[what]).convert("L")).astype(int)
    assert np.abs(found - GREY).max() <= 2


@pytest.mark.parametrize(("sort", "kind"), [(3, "<f8"), (3, "<f2")])
def test_a_tiff_that_nothing_reads_is_not_called_damaged_alone(sort: int, kind: str) -> None:
    told = reason(tiff((GREY / 255).astype(kind), 8 * np.dtype(kind).itemsize, 1, sort))
    assert "a rare kind of TIFF" in told and "save it as JPEG or PNG" in told


FRAMES = {  # markers of frames (ITU-T T.81, table B.1), a precision, and what is said
    "lossless": (0xC3, 8, "a rare kind"),
    "hierarchical": (0xC5, 8, "a rare kind"),
    "JPEG-LS": (0xF7, 8, "a rare kind"),
    "twelve bits": (0xC1, 12, "12 bits a colour"),
}


@pytest.mark.parametrize("what", FRAMES)
def test_a_jpeg_that_nothing_reads_is_named(what: str) -> None:
    marker, precision, sentence = FRAMES[what]
    whole = bytearray(saved(scene(), "JPEG"))
    at = whole.index(b"\xff\xc0")
    whole[at + 1], whole[at + 4] = marker, precision
    told = reason(bytes(whole))
    assert sentence in told and "damaged" not in told

"""What the bot and the process that decodes photos say to each other: JSON, and bytes behind it. No pickles.

A frame is the lengths of both, eight bytes each, big-endian, and then both.
"""

import json
import struct
from typing import Any, NamedTuple

from bot.photos.errors import PhotoError
from storage.contract.sizes import png_size
from storage.text import one_line

LENGTHS = struct.Struct(">QQ")
HEADER_MOST_BYTES = 2**20
REASON_MOST = 300  # characters

Json = dict[str, Any]


def packed(header: Json, body: bytes = b"") -> bytes:
    """Write a frame."""
    text = json.dumps(header).encode()
    return LENGTHS.pack(len(text), len(body)) + text + body


def lengths(data: bytes, most_bytes: int) -> tuple[int, int]:
    """How long header and body of a frame are; raises ValueError if that cannot be."""
    if len(data) != LENGTHS.size:
        raise ValueError("a frame without its lengths")
    header, body = LENGTHS.unpack(data)
    # The other side has handled a stranger's file: what it says is bounded before memory is set aside for it.
    if header > HEADER_MOST_BYTES or body > most_bytes:
        raise ValueError(f"a frame of {header} and {body} bytes")
    return header, body


def header_of(text: bytes) -> Json:
    """Read the header of a frame; raises ValueError."""
    header = json.loads(text)
    if not isinstance(header, dict):
        raise ValueError("the header of a frame is no object")
    return header


class DecodedPhoto(NamedTuple):
    """A photo ready for training, as PNG files, and what it looks like."""

    square: bytes
    side_px: int
    whole: bytes  # before it was cut square; empty if it was not square only by a little
    fingerprint: tuple[int, ...]  # a hash of each view, as bits
    note: str = ""  # what the person should know of it though it can be used; follows its name in a sentence

    @classmethod
    def from_frame(cls, header: Json, body: bytes) -> "DecodedPhoto":
        """Take an answer apart; raises PhotoError if it says that the photo cannot be used, ValueError for nonsense."""
        if "refused" in header:
            raise PhotoError(one_line(str(header["refused"]))[:REASON_MOST])
        try:
            length, side_px = int(header["square"]), int(header["side_px"])
            fingerprint = tuple(int(view, 16) for view in header["fingerprint"])
            note = one_line(str(header["note"]))[:REASON_MOST]
        except (KeyError, TypeError) as error:
            raise ValueError(f"an answer without {error}") from error
        square, whole = body[:length], body[length:]
        if png_size(square) != (side_px, side_px) or (whole and min(png_size(whole)) != side_px):
            raise ValueError("an answer with pictures of another size than it says")
        return cls(square, side_px, whole, fingerprint, note)

    def packed(self) -> tuple[Json, bytes]:
        """Header and body of the answer that `from_frame` takes apart."""
        fingerprint = [f"{view:x}" for view in self.fingerprint]
        header = {"square": len(self.square), "side_px": self.side_px, "fingerprint": fingerprint, "note": self.note}
        return header, self.square + self.whole

"""What the bot and the process that decodes photos say to each other: JSON, and bytes behind it. No pickles.

A frame is the lengths of both, eight bytes each, big-endian, and then both.
"""

import json
import struct
from typing import Any

LENGTHS = struct.Struct(">QQ")
HEADER_MOST_BYTES = 2**20

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

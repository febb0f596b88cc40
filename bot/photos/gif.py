"""GIF files with only their one picture, counted before anything is decoded.

Source: Graphics Interchange Format, version 89a, CompuServe 1990.
"""

from bot.photos.errors import PhotoError

BLOCKS_MOST = 1_000_000  # data comes in blocks of 255 bytes at most; a photo at its largest has a few hundred thousand
EXTENSION, PICTURE, CONTROL = 0x21, 0x2C, 0xF9
END = b";"


class _Reader:
    """A position in a file, and how many blocks were read so far."""

    def __init__(self, data: bytes, at: int) -> None:
        self.data, self.at, self.blocks = data, at, 0

    def take(self, length: int) -> bytes:
        self.at += length
        return self.data[self.at - length : self.at]

    def sub_blocks(self) -> bytes:
        """Read blocks to the empty one that ends them, as they are."""
        start = self.at
        while self.at < len(self.data) and (length := self.data[self.at]):
            self.at += 1 + length
            self.blocks += 1
            if self.blocks > BLOCKS_MOST:
                raise PhotoError(f"is made of more than {BLOCKS_MOST:,} blocks, more than can be read: save it again")
        self.at += 1
        return self.data[start : self.at]


def clean(data: bytes) -> bytes:
    """Return a GIF without comments and notes; raises PhotoError if it is animated or made of too many blocks."""
    header = data[:13]
    colours = _colours(header[10]) if len(header) == 13 else 0
    parts, pictures, reader = [data[: 13 + colours]], 0, _Reader(data, 13 + colours)
    while kind := reader.take(1):
        # Comments, texts and application data go; a control block stays, for it tells the transparent colour.
        if kind[0] == EXTENSION:
            label = reader.take(1)
            reader.blocks += 1
            blocks = reader.sub_blocks()
            if label == bytes([CONTROL]) and not pictures:
                parts.append(kind + label + blocks)
        elif kind[0] == PICTURE:
            pictures += 1
            if pictures > 1:
                raise PhotoError("is animated, and only still pictures can be used")
            parts.append(kind + _picture(reader))
        else:  # the end, or what is none of a GIF's
            break
    return b"".join(parts) + END


def _picture(reader: _Reader) -> bytes:
    described = reader.take(9)
    table = reader.take(_colours(described[8])) if len(described) == 9 else b""
    return described + table + reader.take(1) + reader.sub_blocks()


def _colours(packed: int) -> int:
    """Length of the table of colours that a byte of flags announces."""
    return 3 * 2 ** ((packed & 7) + 1) if packed & 0x80 else 0

"""JPEG files as decoders like them: only the segments that make the picture, counted before anything is decoded.

Phones put a second picture, a film or a maker's notes behind the picture, and some leave its end marker out. All of
that is cut off here, so that it neither hinders nor slows a decoder. Source: ITU-T T.81, annex B.
"""

import re
import struct
from typing import NamedTuple

from bot.photos.errors import PhotoError

SCANS_MOST = 100  # encoders write ten or so; each is a pass over the whole picture
SEGMENTS_MOST = 10_000

SOI, EOI, SOS, DNL = 0xD8, 0xD9, 0xDA, 0xDC
SEQUENTIAL = {0xC0, 0xC1}
FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
USUAL = {0xC0, 0xC1, 0xC2, 0xC9, 0xCA}  # the frames that decoders know: sequential and progressive
JPEG_LS = 0xF7
STANDALONE = {0x01, *range(0xD0, 0xD8)}  # markers without a length
KEPT = FRAMES | {0xC4, 0xCC, 0xDB, 0xDC, 0xDD, 0xDE, 0xDF, 0xE0, 0xEE}  # tables, restarts, JFIF and Adobe
KEPT_IF = {0xE1: (b"Exif\0", b"http://ns.adobe.com/xap/1.0/\0"), 0xE2: (b"ICC_PROFILE\0",)}

MARKER = re.compile(rb"\xff([^\xff])", re.DOTALL)  # the last byte of any padding, and what follows
SCAN_END = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]", re.DOTALL)
END = b"\xff\xd9"
# Entropy-coded data that says something else than none at all: what changes when it is put behind a picture was not
# there. No 0xFF, so no markers.
FILLER = bytes(1 + (k * 89 + k * k * 37) % 251 for k in range(1024))


class Jpeg(NamedTuple):
    """A JPEG file with nothing in it but its picture."""

    data: bytes
    ended: bool  # whether its end was told; if not, decode `filled` too: complete pictures do not change by it

    @property
    def filled(self) -> bytes:
        """The file with more data in its last scan."""
        return self.data.removesuffix(END) + FILLER + END


class _Progress:
    """Which coefficients have come to their last bit: of a sequential picture all at once, else scan by scan."""

    def __init__(self) -> None:
        self.components = b""
        self.low_bits: dict[tuple[int, int], int] = {}

    def begin(self, frame: bytes) -> None:
        """Note the components of a picture."""
        self.components = frame[6 : 6 + 3 * frame[5] : 3] if len(frame) > 5 else b""

    def scan(self, header: bytes) -> None:
        """Note what a scan brings."""
        if not header or len(header) < 4 + 2 * header[0]:
            return
        ids, (start, end, approximation) = header[1 : 1 + 2 * header[0] : 2], header[-3:]
        for component in ids:
            for k in range(start, min(end, 63) + 1):
                self.low_bits[component, k] = approximation & 15

    @property
    def complete(self) -> bool:
        """Whether nothing is left to come."""
        return all(self.low_bits.get((c, k), 1) == 0 for c in self.components for k in range(64))


class _Cleaner:
    """Reads a file segment by segment, and keeps what its first picture needs."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 2
        self.parts = [data[:2]]
        self.progress, self.frame, self.scans, self.segments = _Progress(), 0, 0, 0
        self.ended = False

    def run(self) -> None:
        """Read to the end of the picture."""
        while (marker := MARKER.search(self.data, self.at)) and not self.ended:
            self.segments += 1
            if self.segments > SEGMENTS_MOST:
                raise PhotoError(f"has more than {SEGMENTS_MOST:,} segments, more than can be read: save it again")
            self.at = marker.end()
            if not self._go_on(marker[1][0]):
                return

    def _go_on(self, marker: int) -> bool:
        """Read what follows a marker; whether the picture may go on behind it."""
        if marker == EOI:
            self.ended = self.scans > 0
            return False
        if marker in STANDALONE or marker == 0:
            return True
        body = _body(self.data, self.at)
        if body is None or marker == SOI:
            return False
        if marker == SOS or _is_kept(marker, body):
            self.parts.append(b"\xff" + bytes([marker]) + self.data[self.at : self.at + 2] + body)
        self.at += 2 + len(body)
        if marker in FRAMES or marker == JPEG_LS:
            _check_frame(marker, body)
            self.frame = marker
            self.progress.begin(body)
        return marker != SOS or self._scan(body)

    def _scan(self, header: bytes) -> bool:
        """Keep the data of a scan; whether there may be another."""
        self.scans += 1
        if self.scans > SCANS_MOST:
            raise PhotoError(
                f"is written in more than {SCANS_MOST} scans, more than can be read: save it again as JPEG"
            )
        self.progress.scan(header)
        end = SCAN_END.search(self.data, self.at)
        to = end.start() if end else len(self.data)
        self.parts.append(self.data[self.at : to])
        self.at = to
        if self.frame not in SEQUENTIAL or header[:1] != bytes([len(self.progress.components)]):
            return True
        self.ended = self.data[to + 1 : to + 2] == bytes([EOI])
        return False  # all components were in one scan, so nothing behind it is of this picture


def clean(data: bytes) -> Jpeg:
    """Leave out all but the first picture of a file, with its EXIF, XMP and colour profile.

    Raises PhotoError if there are more scans or segments than any camera or program writes, or scans are missing.
    """
    cleaner = _Cleaner(data)
    cleaner.run()
    if not cleaner.ended and not cleaner.progress.complete:
        raise PhotoError("is damaged or incomplete")
    return Jpeg(b"".join(cleaner.parts) + END, cleaner.ended)


def _check_frame(marker: int, body: bytes) -> None:
    """Raise PhotoError for the kinds of JPEG that medical devices and raw converters write, and no decoder here reads.

    Sources: ITU-T T.81, table B.1 (lossless and hierarchical frames, precision); T.87 (JPEG-LS).
    """
    if marker not in USUAL:
        raise PhotoError("is a JPEG of a rare kind, lossless or in layers: save it as an ordinary JPEG or PNG first")
    if body[:1] and body[0] != 8:
        raise PhotoError(
            f"is a JPEG of {body[0]} bits a colour, and not of 8: save it as an ordinary JPEG or PNG first"
        )


def _body(data: bytes, at: int) -> bytes | None:
    """What a segment holds; None if the file ends before."""
    if at + 2 > len(data):
        return None
    (length,) = struct.unpack_from(">H", data, at)
    return data[at + 2 : at + length] if 2 <= length <= len(data) - at else None


def _is_kept(marker: int, body: bytes) -> bool:
    return marker in KEPT or (marker in KEPT_IF and body.startswith(KEPT_IF[marker]))

"""What the process that decodes photos says of one, as the bot believes it: that process saw a stranger's file."""

from typing import NamedTuple

from bot.photos.decoder_protocol import Json
from bot.photos.errors import PhotoError
from storage.contract.sizes import png_size
from storage.text import one_line

REASON_MOST = 300  # characters


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
        """The answer that `of` takes apart."""
        fingerprint = [f"{view:x}" for view in self.fingerprint]
        header = {"square": len(self.square), "side_px": self.side_px, "fingerprint": fingerprint, "note": self.note}
        return header, self.square + self.whole

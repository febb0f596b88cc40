"""What became of the photos that a person sent: which are used, which refused and why."""

import hashlib
from collections.abc import Sequence

from pydantic import Field

from bot.answers.replies import plural
from bot.messages import Upload
from storage.files import Store
from storage.jobs import Record
from storage.subjects import Photo

EXTENSION = "png"  # lossless, and at the sizes of training not large
LABEL_LENGTH = 60  # of a file's name in a sentence


class Prepared(Record):
    """A photo ready for training: square, upright, RGB or with transparency, nothing in the file but its pixels."""

    name: str  # as the person called the file; for messages only
    data: bytes = Field(repr=False)
    sha256: str
    side_px: int
    caption: str = ""
    whole: bytes = Field(b"", repr=False)  # before it was cut square, if it was not square by then
    extension: str = EXTENSION

    async def keep(self, store: Store, prefix: str) -> Photo:
        """Store it below `prefix`, called by its content; return its record."""
        photo = Photo(
            key=f"{prefix}{self.sha256}.{self.extension}",
            sha256=self.sha256,
            name=self.name,
            side_px=self.side_px,
            caption=self.caption,
        )
        await store.put(photo.key, self.data)
        if not self.whole:
            return photo
        digest = hashlib.sha256(self.whole).hexdigest()
        whole = f"{prefix}{digest}.{self.extension}"
        await store.put(whole, self.whole)
        return photo.model_copy(update={"whole": whole, "whole_sha256": digest})


class Refused(Record):
    """A photo that cannot be used; name and reason together make a sentence."""

    name: str
    reason: str


class Vetting(Record):
    """What became of the photos, in the order in which they came."""

    accepted: tuple[Prepared, ...]
    refused: tuple[Refused, ...]

    @property
    def summary(self) -> str:
        """Say it in a sentence: "5 of 6 photos used; IMG_3.jpg is a near-duplicate of IMG_1.jpg."."""
        used, came = len(self.accepted), len(self.accepted) + len(self.refused)
        photos = plural(came, "photo")
        reasons = {r.reason for r in self.refused}
        if not self.refused:
            return f"{photos} used."
        if not used and came > 1 and len(reasons) == 1:
            return f"None of {photos} could be used: each {reasons.pop()}."
        head = f"{used} of {photos} used" if used else "No photo could be used"
        return "; ".join([head, *(f"{r.name} {r.reason}" for r in self.refused)]) + "."


def labels(uploads: Sequence[Upload]) -> list[str]:
    """Call each upload by a short name of its own; phones and clipboards call every photo the same."""
    names = [" ".join(u.name.split())[-LABEL_LENGTH:] or "a photo" for u in uploads]
    return [n if names.count(n) == 1 else f"{n} (photo {i})" for i, n in enumerate(names, 1)]

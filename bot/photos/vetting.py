"""What became of the photos that a person sent: which are used, which refused and why.

No photo sinks the others: each is accepted, or refused with its reason.
"""

import hashlib
from collections.abc import Awaitable, Callable, Sequence

from pydantic import Field

from bot.photos.captions import plain
from bot.photos.decoder_protocol import DecodedPhoto
from bot.photos.errors import PhotoError
from bot.photos.uploads import Upload
from storage.contract.base import Record
from storage.contract.subjects import Photo
from storage.errors import UserError
from storage.objects.store import Store
from storage.text import one_line, plural

# Two photos are near-duplicates if some views of theirs differ in a tenth of the bits or less. Measured, of 300 bits:
# photos of one subject (20 real ones) differ in 36 to 150, drawings of one character (80) in different places in 34
# to 170; copies that were recompressed, halved, 5 % cropped, a quarter darker, a fifth brighter, or a mix, in 0 to 30.
DUPLICATE_BITS = 30
EXTENSION = "png"  # lossless, and at the sizes of training not large
LABEL_LENGTH = 60  # of a file's name in a sentence


class PreparedPhoto(Record):
    """A photo ready for training: square, upright, RGB or with transparency, nothing in the file but its pixels."""

    name: str  # as the person called the file; for messages only
    data: bytes = Field(repr=False)
    sha256: str
    side_px: int
    caption: str = ""
    whole: bytes = Field(b"", repr=False)  # before it was cut square, if it was not square by then
    extension: str = EXTENSION
    note: str = ""  # what the person should know of it though it is used

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


class RejectedPhoto(Record):
    """A photo that cannot be used; name and reason together make a sentence."""

    name: str
    reason: str


class Vetting(Record):
    """What became of the photos, in the order in which they came."""

    accepted: tuple[PreparedPhoto, ...]
    refused: tuple[RejectedPhoto, ...]

    @property
    def summary(self) -> str:
        """The result in a sentence: "5 of 6 photos used; IMG_3.jpg is a near-duplicate of IMG_1.jpg."."""
        used, came = len(self.accepted), len(self.accepted) + len(self.refused)
        photos = plural(came, "photo")
        reasons = {r.reason for r in self.refused}
        notes = "".join(f" {p.name} {p.note}." for p in self.accepted if p.note)
        if not self.refused:
            return f"{photos} used.{notes}"
        if not used and came > 1 and len(reasons) == 1:
            return f"None of {photos} could be used: each {reasons.pop()}."
        head = f"{used} of {photos} used" if used else "No photo could be used"
        return "; ".join([head, *(f"{r.name} {r.reason}" for r in self.refused)]) + f".{notes}"


Read = Callable[[bytes], Awaitable[DecodedPhoto]]  # decodes and prepares a file, or raises PhotoError


async def vet(uploads: Sequence[Upload], read: Read, most_bytes: int) -> Vetting:
    """Accept or refuse each photo, as `read` finds it. Raises nothing for bad photos."""
    results: list[DecodedPhoto | PhotoError] = []
    # One after another: each person has one decoding slot.
    for upload in uploads:
        try:
            check(upload, most_bytes)
            results.append(await read(upload.data))
        except PhotoError as error:
            results.append(error)
    return judge(uploads, results)


def check(upload: Upload, most_bytes: int) -> None:
    """Raise PhotoError for a file that need not be looked into."""
    if upload.trouble:
        raise PhotoError(upload.trouble)
    if not upload.data:
        raise PhotoError("is not a picture: the file is empty")
    if len(upload.data) > most_bytes:
        size, limit = len(upload.data) / 2**20, most_bytes / 2**20
        raise PhotoError(f"is too large: {size:.3g} MB, where {limit:.3g} MB is the limit")


def judge(uploads: Sequence[Upload], results: Sequence[DecodedPhoto | PhotoError]) -> Vetting:
    """Accept what can be used and is unlike all that was accepted before it."""
    accepted: list[PreparedPhoto] = []
    refused: list[RejectedPhoto] = []
    seen: list[tuple[str, DecodedPhoto]] = []
    for name, upload, reading in zip(labels(uploads), uploads, results, strict=True):
        if isinstance(reading, PhotoError):
            refused.append(RejectedPhoto(name=name, reason=str(reading)))
        elif twin := next((n for n, r in seen if near_duplicates(reading.fingerprint, r.fingerprint)), None):
            refused.append(RejectedPhoto(name=name, reason=f"is a near-duplicate of {twin}"))
        else:
            seen.append((name, reading))
            accepted.append(_prepared(name, upload, reading))
    return Vetting(accepted=tuple(accepted), refused=tuple(refused))


def _prepared(name: str, upload: Upload, reading: DecodedPhoto) -> PreparedPhoto:
    return PreparedPhoto(
        name=name,
        data=reading.square,
        sha256=hashlib.sha256(reading.square).hexdigest(),
        side_px=reading.side_px,
        caption=plain(upload.caption),
        whole=reading.whole,
        note=reading.note,
    )


def near_duplicates(views: Sequence[int], others: Sequence[int]) -> bool:
    """Whether two fingerprints are of near-duplicates: cropped, resized, recompressed or brightened copies."""
    return any((view ^ other).bit_count() <= DUPLICATE_BITS for view in views for other in others)


def labels(uploads: Sequence[Upload]) -> list[str]:
    """Call each upload by a short name of its own; phones and clipboards call every photo the same."""
    names = [one_line(u.name)[-LABEL_LENGTH:] or "a photo" for u in uploads]
    return [n if names.count(n) == 1 else f"{n} (photo {i})" for i, n in enumerate(names, 1)]


def check_number(given: int, most: int) -> None:
    """Raise UserError for no photos, and for more than `most`; a front end may ask before it fetches them."""
    if not given:
        raise UserError("Add a few photos of it: three to six from different sides work best.")
    if given > most:
        raise UserError(f"That is {given} photos; the limit is {most}. Three to six good ones are plenty.")

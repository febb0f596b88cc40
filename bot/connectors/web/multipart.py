"""What a page sends, taken apart piece by piece within limits: fields of text, and photos."""

from dataclasses import dataclass, field
from pathlib import PurePath

from aiohttp import BodyPartReader, web
from aiohttp.http import HttpProcessingError

from bot.photos.uploads import Upload
from storage.settings.bot import BotSettings
from storage.text import one_line

WORDS_MAX_BYTES = 2**20  # of all that is typed with the photos
FIELDS_MAX = 100  # a form has some twenty
PHOTOS_FIELD = "photos"
NAME_LENGTH = 100
# All that aiohttp raises for bodies that are no multipart; the warnings, where warnings are errors.
ERRORS = (ValueError, LookupError, AssertionError, RuntimeError, RuntimeWarning)
MALFORMED = (*ERRORS, web.RequestPayloadError, HttpProcessingError)
TOO_MUCH_TEXT = f"That is too much text at once: the limit is {WORDS_MAX_BYTES // 2**20} MB, in {FIELDS_MAX} fields."
NOT_A_FORM = "The request could not be read. Please reload the page and try again."


class MalformedForm(Exception):
    """The body is no form of ours, or is damaged."""


class FormTooLarge(Exception):
    """The body is larger, or has more parts, than is taken; the message is a sentence."""


@dataclass
class MultipartForm:
    """The fields of a form."""

    values: dict[str, str] = field(default_factory=dict)
    uploads: list[Upload] = field(default_factory=list)
    words_bytes: int = 0
    photos_bytes: int = 0
    body_bytes: int = 0


@dataclass(frozen=True)
class UploadLimits:
    """How much may be sent at once."""

    files: int
    file_bytes: int
    bytes: int

    @classmethod
    def from_settings(cls, settings: BotSettings) -> "UploadLimits":
        """The limits that an operator set; twice as many files, as each photo may have a caption file."""
        most = min(settings.photos_max * settings.photo_max_bytes, settings.photos_max_bytes)
        return cls(2 * settings.photos_max, settings.photo_max_bytes, most)

    @property
    def body_bytes(self) -> int:
        """Maximum size of a request's body: photos and text together."""
        return self.bytes + WORDS_MAX_BYTES

    @property
    def sentence(self) -> str:
        """What to say of more."""
        return f"That is too much at once: the limit is {self.body_bytes // 2**20} MB."


async def read_form(request: web.Request, limits: UploadLimits) -> MultipartForm:
    """Read a form, and no more of it than may be sent; raises MalformedForm or FormTooLarge."""
    # An honest client is refused before it sends anything; what is really sent is counted below.
    if (request.content_length or 0) > limits.body_bytes:
        raise FormTooLarge(limits.sentence)
    try:
        if request.content_type == "multipart/form-data":
            return await _parts(request, limits)
        if request.content_type == "application/x-www-form-urlencoded":
            return MultipartForm({name: str(value) for name, value in (await request.post()).items()})
    except web.HTTPRequestEntityTooLarge:  # of text alone: aiohttp counts bytes, and fields
        raise FormTooLarge(TOO_MUCH_TEXT) from None
    except MALFORMED as error:
        raise MalformedForm(NOT_A_FORM) from error
    raise MalformedForm(NOT_A_FORM)


async def _parts(request: web.Request, limits: UploadLimits) -> MultipartForm:
    sent, files, fields = MultipartForm(), 0, 0
    async for part in await request.multipart():
        if not isinstance(part, BodyPartReader) or part.name is None:
            raise MalformedForm(NOT_A_FORM)
        files, fields = files + (part.filename is not None), fields + (part.filename is None)
        if files > limits.files:
            raise FormTooLarge(f"Too many files: the limit is {limits.files // 2} photos.")
        if fields > FIELDS_MAX:
            raise FormTooLarge(TOO_MUCH_TEXT)
        if part.filename is None:
            await _field(part, sent, limits)
        elif part.name == PHOTOS_FIELD:
            await _photo(part, sent, limits)
    return sent


async def _field(part: BodyPartReader, sent: MultipartForm, limits: UploadLimits) -> None:
    data = await _read(part, sent, limits, WORDS_MAX_BYTES - sent.words_bytes)
    sent.words_bytes += len(data)
    if sent.words_bytes >= WORDS_MAX_BYTES:
        raise FormTooLarge(TOO_MUCH_TEXT)
    sent.values[str(part.name)] = data.decode(errors="replace")


async def _photo(part: BodyPartReader, sent: MultipartForm, limits: UploadLimits) -> None:
    left = limits.bytes - sent.photos_bytes
    # One byte more than is allowed, which tells vetting that a photo is too large, and by name.
    data = await _read(part, sent, limits, min(limits.file_bytes, left) + 1)
    sent.photos_bytes += len(data)
    if sent.photos_bytes > limits.bytes:
        raise FormTooLarge(limits.sentence)
    sent.uploads.append(Upload(name=file_name(part.filename or ""), data=data))


async def _read(part: BodyPartReader, sent: MultipartForm, limits: UploadLimits, most_bytes: int) -> bytes:
    """Read a part, of a longer one as much as tells that it is; the rest is passed over."""
    data = bytearray()
    while chunk := await part.read_chunk(2**16):
        sent.body_bytes += len(chunk)
        if sent.body_bytes > limits.body_bytes:
            raise FormTooLarge(limits.sentence)
        if len(data) < most_bytes:
            data += chunk
    return bytes(data[:most_bytes])


def file_name(name: str) -> str:
    """What a file is called in messages: no folders, nothing invisible, not too long."""
    return one_line(PurePath(name.replace("\\", "/")).name)[-NAME_LENGTH:] or "photo"

"""Turn the bytes of a photo into an upright sRGB picture, and refuse in plain words what cannot be.

Everything that can be told from the header is told before a pixel is decoded. This runs in the process that
`bot/photos/decoder_process.py` starts for it, never in the bot's own.
"""

import io
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pillow_heif
from PIL import ExifTags, Image, ImageCms, UnidentifiedImageError

from bot.photos import colour, gif, heif_boxes, jpeg, png
from bot.photos.deep_grey import eight_bit_grey
from bot.photos.errors import PhotoError
from bot.photos.file_types import FORMATS, format_of, unreadable
from bot.photos.raw import camera_of
from storage.colours import NEUTRAL

pillow_heif.register_heif_opener(thumbnails=False, depth_images=False, aux_images=False)

# Photos are measured here against the operator's limit, before they are decoded; Pillow's own limit is another
# number, warns on standard error and knows no settings.
Image.MAX_IMAGE_PIXELS = None

MOVING_FORMATS = {"AVIF"}  # those of PNG, WebP and GIF are known by then; several pictures in a HEIC are a burst
DAMAGED = "is damaged or incomplete"
RARE_TIFF = "cannot be read: it is damaged, or a rare kind of TIFF; save it as JPEG or PNG first"
PROFILE_MOST_BYTES = 2**22
TURNS = {  # EXIF orientation → what makes it upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class PhotoHeader(NamedTuple):
    """A photo whose header was read, not decoded yet."""

    image: Image.Image
    cicp: bytes = b""  # primaries, transfer, matrix and range, where the file tells its colours so
    filled: Image.Image | None = None  # of a JPEG without an end: the same with more data behind it


def open_photo(data: bytes, max_pixels: int, min_px: int) -> PhotoHeader:
    """Read the header of a photo; raises PhotoError."""
    photo = _opened(data)
    width, height = photo.image.size
    if width * height > max_pixels:
        raise PhotoError(f"has too many pixels: {width}×{height}, where {max_pixels / 1e6:g} million is the limit")
    if photo.image.format in MOVING_FORMATS and getattr(photo.image, "is_animated", False):
        raise PhotoError("is animated, and only still pictures can be used")
    if min(width, height) < min_px:
        raise PhotoError(f"is too small: {width}×{height} pixels, where the short side needs {min_px}")
    return photo


def _opened(data: bytes) -> PhotoHeader:
    """Hand a file to Pillow, less what its picture does not need."""
    kind = format_of(data)
    if kind not in FORMATS:
        raise PhotoError(unreadable(data))
    try:
        if kind == "JPEG":
            stripped = jpeg.clean(data)
            return PhotoHeader(
                _image(stripped.data, kind), filled=None if stripped.ended else _image(stripped.filled, kind)
            )
        if kind == "PNG":
            cleaned, cicp = png.clean(data)
            return PhotoHeader(_image(cleaned, kind), cicp)
        if kind == "GIF":
            return PhotoHeader(_image(gif.clean(data), kind))
        if kind == "WEBP":
            heif_boxes.check_webp(data)
        image = _image(data, kind)
        if camera := camera_of(image):
            raise PhotoError(f"is a raw photo ({camera}): export it as JPEG first")
        return PhotoHeader(image, heif_boxes.nclx(data) if kind in ("HEIF", "AVIF") else b"")
    except (PhotoError, MemoryError):
        raise
    except UnidentifiedImageError as error:
        raise PhotoError(RARE_TIFF if kind == "TIFF" else DAMAGED) from error
    except Exception as error:  # decoders raise whatever they like on bytes that somebody else made
        raise PhotoError(DAMAGED) from error


def _image(data: bytes, kind: str) -> Image.Image:
    return Image.open(io.BytesIO(data), formats=[kind])


def decode(photo: PhotoHeader, side_px: int) -> Image.Image:
    """Decode an opened photo: upright, sRGB, RGB or RGBA, its short side `side_px` or less, never enlarged.

    Raises PhotoError if the file ends early or is damaged.
    """
    image = photo.image
    side = min(side_px, *image.size)
    try:
        small = _small(image, side)
        if photo.filled and np.any(np.asarray(small) != np.asarray(_small(photo.filled, side))):
            raise PhotoError(DAMAGED)
        return _turned(_srgb(small, image, photo.cicp), _orientation(image))
    except (PhotoError, MemoryError):
        raise
    except Exception as error:  # as above
        raise PhotoError(DAMAGED) from error


def _small(image: Image.Image, side: int) -> Image.Image:
    """Decode, and shrink to a short side of `side` pixels."""
    if image.format == "JPEG":  # 50 megapixels are decoded as 12 or fewer
        image.draft(None, (2 * side, 2 * side))
    image.load()
    return _scaled(_eight_bit(image), side)


def _eight_bit(photo: Image.Image) -> Image.Image:
    """Return the photo in one of the modes L, RGB, RGBA and CMYK, which can be scaled and colour-managed."""
    clear = photo.info.get("transparency")
    if photo.mode[0] in "IF":  # grey of more than eight bits: Pillow would clip it, not scale it
        return eight_bit_grey(photo, clear)
    if photo.mode == "RGB" and isinstance(clear, tuple) and max(clear) > 255:  # of 16 bits, read as eight
        photo.info["transparency"] = tuple(value >> 8 for value in clear)
    mode = "RGBA" if photo.has_transparency_data else photo.mode if photo.mode in ("L", "CMYK") else "RGB"
    return photo if photo.mode == mode else photo.convert(mode)


def _scaled(photo: Image.Image, side: int) -> Image.Image:
    """Shrink to a short side of `side` pixels."""
    scale = side / min(photo.size)
    width, height = (max(side, round(n * scale)) for n in photo.size)
    return photo.resize((width, height), Image.Resampling.LANCZOS, reducing_gap=3.0)


def _srgb(small: Image.Image, image: Image.Image, cicp: bytes) -> Image.Image:
    """Convert to sRGB, with transparency if there was.

    What tells the colours, in this order: cICP of a PNG; a profile, unless it is broken or does not fit; nclx of HEIC
    and AVIF; gAMA and cHRM of a PNG; the mark of Adobe RGB that cameras set.
    """
    mode = "RGBA" if small.mode == "RGBA" else "RGB"
    profile = image.info.get("icc_profile") or b""
    if (image.format != "PNG" and profile) or (image.format == "PNG" and not cicp):
        cicp = profile_cicp(profile)
    if space := colour.space_of_cicp(cicp):
        return colour.to_srgb(small.convert(mode), space)
    if profile and not cicp and len(profile) <= PROFILE_MOST_BYTES:
        try:
            source, target = ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB")
            return ImageCms.profileToProfile(small, source, target, outputMode=mode) or small
        except (ImageCms.PyCMSError, OSError, ValueError):
            pass
    elif not cicp and (space := _declared_space(image)):
        return colour.to_srgb(small.convert(mode), space)
    return small.convert(mode)


def profile_cicp(profile: bytes) -> bytes:
    """The code points in a profile's `cicp` tag if they are of an HDR space, which its curves cannot tell; else empty.

    Source: ICC.1:2022, sections 7.3 and 10.3.
    """
    for at in range(132, min(len(profile), 132 + 12 * 100), 12):
        if profile[at : at + 4] == b"cicp":
            start = int.from_bytes(profile[at + 4 : at + 8], "big") + 8
            codes = profile[start : start + 4]
            return codes if len(codes) == 4 and codes[1] in colour.HDR else b""
    return b""


def _declared_space(image: Image.Image) -> colour.Space | None:
    """The space that numbers of a PNG or EXIF tell; None for sRGB, which it is without them."""
    if image.format == "PNG" and "srgb" not in image.info and image.mode not in ("L", "LA", "I;16"):
        return colour.space_of_png(image.info.get("gamma"), image.info.get("chromaticity"))
    if image.format == "JPEG" and _exif(image, ExifTags.IFD.Interop).get(ExifTags.Interop.InteropIndex) == "R03":
        return colour.Space(colour.ADOBE_RGB, colour.CURVES[4])
    return None


def flat(photo: Image.Image) -> Image.Image:
    """Lay what is transparent onto the neutral colour; RGB."""
    if photo.mode != "RGBA":
        return photo
    ground = Image.new("RGBA", photo.size, NEUTRAL)
    return Image.alpha_composite(ground, photo).convert("RGB")


def _orientation(photo: Image.Image) -> object:
    """Read the EXIF orientation; 1, upright, if the EXIF block is broken."""
    return _exif(photo).get(ExifTags.Base.Orientation, 1)


def _exif(photo: Image.Image, part: int | None = None) -> Mapping[int, object]:
    """The EXIF block, or a part of it; empty if it is broken, which must not cost the photo."""
    try:
        exif = photo.getexif()
        if part is None:
            return exif
        return exif.get_ifd(ExifTags.IFD.Exif) and exif.get_ifd(part)
    except Exception:
        return {}


def _turned(photo: Image.Image, orientation: object) -> Image.Image:
    turn = TURNS.get(orientation) if isinstance(orientation, int) else None
    return photo if turn is None else photo.transpose(turn)

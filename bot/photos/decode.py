"""Turn the bytes of a photo into an upright sRGB picture, and refuse in plain words what cannot be.

Everything that can be told from the header is told before a pixel is decoded.
"""

import io
import re

import numpy as np
import pillow_heif
from PIL import ExifTags, Image, ImageCms

from storage.errors import UserError
from storage.subjects import NEUTRAL

pillow_heif.register_heif_opener(thumbnails=False, depth_images=False, aux_images=False)

# Photos are measured here against the operator's limit, before they are decoded; Pillow's own limit is another
# number, warns on standard error and knows no settings.
Image.MAX_IMAGE_PIXELS = None

# All others stay closed. AVIF too: its header may claim a few pixels where the decoder then finds a hundred million.
FORMATS = ("JPEG", "PNG", "WEBP", "HEIF", "GIF")
MOVING_FORMATS = {"PNG", "WEBP", "GIF"}  # several pictures in a JPEG or HEIC are a burst or a depth map
SIGNATURE = re.compile(rb"\xff\xd8\xff|\x89PNG|GIF8|RIFF.{4}WEBP|.{4}ftyp(he|mif1|msf1)", re.DOTALL)
TURNS = {  # EXIF orientation → what makes it upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class PhotoError(UserError):
    """The photo cannot be used; the message is the rest of a sentence that begins with its name."""


def open_photo(data: bytes, max_pixels: int, min_px: int) -> Image.Image:
    """Read the header of a photo and return it undecoded; raises PhotoError."""
    try:
        photo = Image.open(io.BytesIO(data), formats=FORMATS)
        moving = photo.format in MOVING_FORMATS and getattr(photo, "is_animated", False)
    except Exception as error:  # decoders raise whatever they like on bytes that somebody else made
        if SIGNATURE.match(data):
            raise PhotoError("is damaged or incomplete") from error
        raise PhotoError("is not a picture (JPEG, PNG, WebP or HEIC)") from error
    width, height = photo.size
    if width * height > max_pixels:
        raise PhotoError(f"has too many pixels: {width}×{height}, where {max_pixels / 1e6:g} million is the limit")
    if moving:
        raise PhotoError("is animated, and only still pictures can be used")
    if min(width, height) < min_px:
        raise PhotoError(f"is too small: {width}×{height} pixels, where the short side needs {min_px}")
    return photo


def decode(photo: Image.Image, side_px: int) -> Image.Image:
    """Decode an opened photo: upright, sRGB, RGB or RGBA, its short side `side_px` or less, never enlarged.

    Raises PhotoError if the file ends early or is damaged.
    """
    side = min(side_px, *photo.size)
    try:
        if photo.format in ("JPEG", "MPO"):  # 50 megapixels are decoded as 12 or fewer
            photo.draft(None, (2 * side, 2 * side))
        photo.load()
        small = _scaled(_eight_bit(photo), side)
        return _turned(_srgb(small, photo.info.get("icc_profile")), _orientation(photo))
    except Exception as error:  # as above
        raise PhotoError("is damaged or incomplete") from error


def _eight_bit(photo: Image.Image) -> Image.Image:
    """Return the photo in one of the modes L, RGB, RGBA and CMYK, which can be scaled and colour-managed."""
    if photo.mode.startswith("I"):  # 16-bit grey: Pillow would clip it, not scale it
        return Image.fromarray((np.asarray(photo) >> 8).astype(np.uint8))
    mode = "RGBA" if photo.has_transparency_data else photo.mode if photo.mode in ("L", "CMYK") else "RGB"
    return photo if photo.mode == mode else photo.convert(mode)


def _scaled(photo: Image.Image, side: int) -> Image.Image:
    """Shrink to a short side of `side` pixels."""
    scale = side / min(photo.size)
    width, height = (max(side, round(n * scale)) for n in photo.size)
    return photo.resize((width, height), Image.Resampling.LANCZOS, reducing_gap=3.0)


def _srgb(photo: Image.Image, profile: bytes | None) -> Image.Image:
    """Convert to sRGB, with transparency if there was; a profile that is broken or does not fit is ignored."""
    mode = "RGBA" if photo.mode == "RGBA" else "RGB"
    if profile:
        try:
            source, target = ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB")
            return ImageCms.profileToProfile(photo, source, target, outputMode=mode) or photo
        except (ImageCms.PyCMSError, OSError, ValueError):
            pass
    return photo.convert(mode)


def flat(photo: Image.Image) -> Image.Image:
    """Lay what is transparent onto the neutral colour; RGB."""
    if photo.mode != "RGBA":
        return photo
    ground = Image.new("RGBA", photo.size, NEUTRAL)
    return Image.alpha_composite(ground, photo).convert("RGB")


def _orientation(photo: Image.Image) -> object:
    """Read the EXIF orientation; 1, upright, if the EXIF block is broken."""
    try:
        return photo.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # a broken EXIF block must not cost the photo
        return 1


def _turned(photo: Image.Image, orientation: object) -> Image.Image:
    turn = TURNS.get(orientation) if isinstance(orientation, int) else None
    return photo if turn is None else photo.transpose(turn)

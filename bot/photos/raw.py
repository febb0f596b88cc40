"""Raw photos in TIFF's clothes: a decoder would take the thumbnail in them for the photo.

Sources: Adobe's DNG specification 1.7; TIFF/EP, ISO 12234-2, which NEF, ARW and PEF follow.
"""

from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile

DNG_VERSION, SUB_IFDS, NEW_SUBFILE_TYPE, MAKE = 50706, 330, 254, 271
COLOUR_FILTER_ARRAY, PHOTOMETRIC = 32803, 262
REDUCED = 1
MAKERS = {"nikon": "NEF", "sony": "ARW", "pentax": "PEF", "canon": "CR2", "samsung": "SRW", "hasselblad": "3FR"}


def camera_of(image: Image.Image) -> str:
    """What kind of raw photo a TIFF is; empty if it is an ordinary TIFF, or no TIFF."""
    if not isinstance(image, TiffImageFile):
        return ""
    tags = image.tag_v2
    # DNG is TIFF, and its first image is a thumbnail as a rule.
    if DNG_VERSION in tags:
        return "DNG"
    # Nikon, Sony and Pentax keep the raw data in a sub-directory beside a small preview.
    thumbnail = tags.get(NEW_SUBFILE_TYPE) == REDUCED and SUB_IFDS in tags
    maker = str(tags.get(MAKE, "")).split()
    if thumbnail or tags.get(PHOTOMETRIC) == COLOUR_FILTER_ARRAY or (SUB_IFDS in tags and maker):
        return MAKERS.get(maker[0].lower(), "of a camera") if maker else "of a camera"
    return ""

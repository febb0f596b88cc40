"""What a chat says of a file before it is fetched. That proves nothing, so only what cannot be a photo is left out."""

import re
from collections.abc import Sequence

from storage.text import listed

SAYS_NOTHING = {"", "application/octet-stream", "binary/octet-stream", "application/unknown"}
PICTURE_NAME = re.compile(r"\.(jpe?g|jfif|png|webp|gif|hei[cf]s?|avif|jxl|tiff?|bmp|dng)$", re.IGNORECASE)


def may_be_photo(name: str, content_type: str) -> bool:
    """Whether a file is worth fetching: its bytes tell what it is.

    >>> may_be_photo("IMG_1.HEIC", ""), may_be_photo("clip.mp4", "video/mp4"), may_be_photo("a", "image/webp")
    (True, False, True)
    """
    kind = content_type.partition(";")[0].strip().lower()
    # HEIC comes from many clients as octet-stream, so an unknown type must not exclude a photo.
    return kind in SAYS_NOTHING or kind.startswith("image/") or bool(PICTURE_NAME.search(name))


def spoken_name(name: str, content_type: str) -> str:
    """What a file that is no photo is called in a sentence.

    >>> spoken_name("clip.mp4", "video/mp4"), spoken_name("paper.pdf", "application/pdf")
    ('a video', 'a file that is no picture (paper.pdf)')
    """
    kind = content_type.partition("/")[0].lower()
    return {"video": "a video", "audio": "a sound recording"}.get(kind, f"a file that is no picture ({name})")


def no_photos(instead: Sequence[str]) -> str:
    """The sentence for a message without photos: what is attached instead.

    >>> no_photos(["a voice message", "a sticker"])
    'There are no photos in that message, only a voice message and a sticker. Choose one with photos.'
    """
    what = f", only {listed(list(dict.fromkeys(instead)))}" if instead else ""
    return f"There are no photos in that message{what}. Choose one with photos."

"""What a file is that should be safetensors and is not, by its first bytes. Without torch."""

import re
from pathlib import Path

READ_BYTES = 512
SIGNS: tuple[tuple[bytes, str], ...] = (  # the first that fits; what is read as a pickle may run code
    (rb"PK\x03\x04.{0,300}\.pkl|\x80[\x01-\x05]", "a pickle"),
    (rb"PK\x03\x04", "a ZIP archive: unpack it, and take the safetensors in it"),
    (rb"GGUF", "quantised (GGUF)"),
    (rb"version https://git-lfs", "a pointer of Git LFS and not the file itself: `git lfs pull` fetches that"),
    (rb"\s*<(!doctype html|html|\?xml)", "a web page and no weights, as comes where a download needs a login"),
    (rb'\s*\{\s*"', "JSON and no weights, as comes where a download is refused"),
    (rb"\x1f\x8b|7z\xbc\xaf|Rar!|.{257}ustar", "an archive: unpack it, and take the safetensors in it"),
)
PATTERNS = tuple((re.compile(sign, re.DOTALL | re.IGNORECASE), what) for sign, what in SIGNS)
PICKLE, GGUF = "a pickle", "quantised (GGUF)"


def other_file(path: Path) -> str:
    """What follows "is" in a sentence about a file; empty if that is not known."""
    try:
        with path.open("rb") as file:
            begins = file.read(READ_BYTES)
    except OSError:
        return ""
    return next((what for pattern, what in PATTERNS if pattern.match(begins)), "")

"""The file of a class set, which says what its content hashes to: so a worker sees whether it is whole. Without torch.

Its name cannot say so, as those of other objects do: it is known before the pictures are drawn.
"""

import hashlib
import json
from pathlib import Path

SHA256 = "sha256"  # in the metadata of its header: of all that comes after the header
LENGTH_BYTES = 8  # of what a file of safetensors begins with: the length of its header


def is_whole(path: Path) -> bool:
    """Whether a file is a class set as it was drawn."""
    try:
        with path.open("rb") as file:
            header = json.loads(file.read(int.from_bytes(file.read(LENGTH_BYTES), "little")))
            sha256: str = header["__metadata__"][SHA256]
            return hashlib.file_digest(file, "sha256").hexdigest() == sha256
    except (OSError, ValueError, LookupError, TypeError, OverflowError, MemoryError):
        return False

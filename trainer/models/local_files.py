"""Files on this machine: where Toyworld lies, and the hash of several. Without torch, for the worker."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

from storage.objects.transfers import file_hash

TOYWORLD_FOLDER = Path(__file__).parents[1] / "toyworld" / "weights" / "model"


def files_hash(folder: Path, names: Iterable[str]) -> str:
    """Hash names and contents of some of the files in `folder`."""
    digest = hashlib.sha256()
    for name in sorted(names):
        digest.update(name.encode())
        digest.update(file_hash(folder / name).encode())
    return digest.hexdigest()

"""Files on this machine: where Toyworld lies, and hashes of files. Without torch, for the worker."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

TOYWORLD_FOLDER = Path(__file__).parent / "toyworld" / "weights" / "model"


def files_hash(folder: Path, names: Iterable[str]) -> str:
    """Hash names and contents of some of the files in `folder`."""
    digest = hashlib.sha256()
    for name in sorted(names):
        digest.update(name.encode())
        digest.update(file_hash(folder / name).encode())
    return digest.hexdigest()


def file_hash(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()

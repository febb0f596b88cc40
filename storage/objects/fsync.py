"""Changes to folders that outlive a power cut: a rename, a new folder or an unlink is on disk only after fsync.

fsync of a file writes its bytes, and nothing of the folder that holds its name (fsync(2), "does not necessarily ensure
that the entry in the directory containing the file has also reached disk").
"""

import errno
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

UNSUPPORTED = {errno.EINVAL, errno.ENOTSUP}  # what file systems answer that cannot sync a folder: some of the network


def sync_file(path: Path) -> None:
    """Write a file's bytes to disk; raises OSError."""
    with path.open("rb") as handle:
        os.fsync(handle.fileno())


def sync_folder(folder: Path) -> None:
    """Write a folder's entries to disk; raises OSError."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise
    finally:
        os.close(handle)


def make_folder(folder: Path) -> None:
    """Make a folder and those above it that are missing, each synced into its parent."""
    try:
        folder.mkdir()
    except FileExistsError:
        if not folder.is_dir():
            raise
    except FileNotFoundError:
        make_folder(folder.parent)
        make_folder(folder)
    else:
        sync_folder(folder.parent)


def unlink(files: Iterable[Path], root: Path) -> None:
    """Unlink those of the files that are there, and folders below `root` that this leaves empty; sync what changed."""
    changed = {_unlink(file, root) for file in files if file.is_file()}
    for folder in changed:
        if folder.is_dir():  # not emptied by what was unlinked after
            sync_folder(folder)


def _unlink(file: Path, root: Path) -> Path:
    """Unlink a file, and folders above it that this leaves empty; return the folder that then has an entry less."""
    file.unlink()
    folder = file.parent
    with suppress(OSError):  # until a folder is not empty
        while folder != root:
            folder.rmdir()
            folder = folder.parent
    return folder

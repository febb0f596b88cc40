"""Changes to folders that outlive a power cut: a rename, a new folder or an unlink is on disk only after fsync.

fsync of a file writes its bytes, and nothing of the folder that holds its name (fsync(2), "does not necessarily ensure
that the entry in the directory containing the file has also reached disk").
"""

import errno
import os
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

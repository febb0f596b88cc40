"""A folder for the files of running jobs, photos among them: gone with its worker, however that ends."""

import fcntl
import os
import shutil
import tempfile
from pathlib import Path


def own_folder(parent: Path) -> Path:
    """Make a folder in `parent` for this process, and remove those of processes that have ended.

    A process holds a lock on its folder for as long as it lives; the kernel lets go of it, and needs no pid for that,
    which containers that share a disk do not share.
    """
    parent.mkdir(parents=True, exist_ok=True)
    with (parent / ".lock").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)  # or a folder could be removed before its process has locked it
        for folder in parent.iterdir():
            if folder.is_dir() and (held := lock(folder)) is not None:
                shutil.rmtree(folder, ignore_errors=True)
                os.close(held)
        mine = Path(tempfile.mkdtemp(dir=parent))
        lock(mine)
    return mine


def lock(folder: Path, how: int = fcntl.LOCK_EX) -> int | None:
    """Lock a folder and return what holds the lock until it is closed; None if somebody else has it."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, how | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return None
    return handle

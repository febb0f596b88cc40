"""Small disks that can be full, where the system lets us mount them."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FILLER = "filler"


@contextmanager
def small_disk(folder: Path, size_bytes: int) -> Iterator[bool]:
    """Make a folder that is a disk of its own, in memory; yields whether it is, for not everybody may mount."""
    folder.mkdir(parents=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={size_bytes}", "tmpfs", str(folder)]
    try:
        is_disk = subprocess.run(command, capture_output=True).returncode == 0
    except FileNotFoundError:  # no such command
        is_disk = False
    try:
        yield is_disk
    finally:
        if is_disk:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextmanager
def filled(folder: Path) -> Iterator[None]:
    """Leave no byte on the disk of a folder; root may use what is reserved, too."""
    filler = folder / FILLER
    for size_bytes in (2**16, 1):
        try:
            with filler.open("ab", buffering=0) as file:
                while file.write(bytes(size_bytes)):
                    pass
        except OSError:
            continue
    try:
        yield
    finally:
        filler.unlink(missing_ok=True)  # another fault that filled the same disk may have ended first

"""File systems of a test's own in image files, where the system lets us mount them."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


def ext4_image(path: Path, size_bytes: int) -> Path:
    """Make an image of an empty ext4 file system; skips the test, in words, where none can be mounted."""
    if sys.platform != "linux" or os.geteuid() != 0 or not shutil.which("mkfs.ext4"):
        pytest.skip("file systems can be mounted by root on Linux only, and mkfs.ext4 has to be there")
    with path.open("wb") as file:
        file.truncate(size_bytes)
    subprocess.run(["mkfs.ext4", "-q", str(path)], check=True)
    with mounted(path):
        pass
    return path


@contextmanager
def mounted(image: Path, options: str = "loop") -> Iterator[Path]:
    """Mount an image; yields the folder. Skips the test, in words, where mounting is not allowed."""
    with tempfile.TemporaryDirectory(prefix="mount-") as folder:
        mount = subprocess.run(["mount", "-o", options, str(image), folder], capture_output=True, text=True)
        if mount.returncode:
            pytest.skip(f"nothing can be mounted here: {mount.stderr.strip()}")
        try:
            yield Path(folder)
        finally:
            subprocess.run(["umount", "--lazy", folder], check=True)

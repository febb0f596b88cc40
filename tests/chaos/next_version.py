"""The next version of Darkroom: this one, but its records carry a newer schema, and a field that this one lacks."""

import shutil
from pathlib import Path

HERE = Path(__file__).parents[2]
VERSION = "schema_version: int = Field(1, ge=1)"
NEXT = 'schema_version: int = Field(3, ge=1)\n    written_by: str = "the next version"'


def next_version(folder: Path) -> Path:
    """Write its source into `folder`: programs that run there as `python -m …` are of the next version."""
    folder.mkdir()
    shutil.copytree(HERE / "storage", folder / "storage", ignore=shutil.ignore_patterns("__pycache__"))
    for package in ("bot", "trainer"):
        (folder / package).symlink_to(HERE / package)
    records = folder / "storage" / "contract" / "base.py"
    before = records.read_text()
    assert before.count(VERSION) == 1
    records.write_text(before.replace(VERSION, NEXT))
    return folder

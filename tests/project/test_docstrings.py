"""Docstrings of the three packages name exceptions that exist: a renamed class is renamed in what is said of it."""

import builtins
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("bot", "storage", "trainer")
RAISES = re.compile(r"\b[Rr]aises?:? ((?:[A-Z]\w+(?:, | and | or )?)+)")
# Syntax trees would tell the same in twenty times the time.
KNOWN = re.compile(r"^ *class \w+|^ *from .* import (?:\([^)]*\)|.*)|^[A-Z]\w+(?=[:,= ])|\w\.[A-Z]\w+", re.MULTILINE)
NAME = re.compile(r"[A-Z]\w+")


def test_exceptions_in_docstrings_exist() -> None:
    paths = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    sources = {path.relative_to(ROOT): path.read_text("utf-8") for path in paths}
    known = {name for text in sources.values() for code in KNOWN.findall(text) for name in NAME.findall(code)}
    unknown = [
        f"{path}: {name}"
        for path, text in sources.items()
        for names in RAISES.findall(text)
        for name in NAME.findall(names)
        if name not in known and not hasattr(builtins, name)
    ]
    assert not unknown

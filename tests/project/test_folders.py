"""Imports between the folders of a package run one way, on every level: each folder can be read without those above it.

A node is a folder, or a module beside the folders of a package; an import anywhere in a module counts, also one inside
a function or for types alone.
"""

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("bot", "trainer", "storage")
PARENTS = [
    folder
    for package in PACKAGES
    for folder in (ROOT / package, *(ROOT / package).rglob("*"))
    if any(folder.glob("*/__init__.py"))
]


def imported(module: Path) -> Iterator[Path]:
    """Files and folders of ours that a module imports."""
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        yield from (ROOT.joinpath(*name.split(".")) for name in names if name.startswith(PACKAGES))


def graph(parent: Path) -> dict[str, set[str]]:
    """By each child of a folder, those that it imports; modules count where they lie beside folders of a package."""
    children = {folder.parent.name: folder.parent for folder in parent.glob("*/__init__.py")}
    if parent.parent == ROOT:
        children |= {path.stem: path.with_suffix("") for path in parent.glob("*.py") if path.stem != "__init__"}
    arrows: dict[str, set[str]] = {}
    for name, child in children.items():
        modules = child.rglob("*.py") if child.is_dir() else [child.with_suffix(".py")]
        used = {target for module in modules for target in imported(module)}
        arrows[name] = {
            other
            for other, path in children.items()
            if other != name and any(path == target or path in target.parents for target in used)
        }
    return arrows


@pytest.mark.parametrize("parent", PARENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_folders_form_a_dag(parent: Path) -> None:
    try:
        TopologicalSorter(graph(parent)).prepare()
    except CycleError as error:
        pytest.fail(" → ".join(error.args[1][::-1]))


def test_an_import_between_folders_is_seen() -> None:
    assert "models" in graph(ROOT / "trainer")["dreambooth"]
    assert "protocol" in graph(ROOT / "trainer")["engine"], "a module beside folders"
    assert "dit" in graph(ROOT / "trainer" / "models")["z_image"]

"""Darkroom's own docs, a collection that is there from the start."""

from functools import lru_cache
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

from trainer.ask.documents.sources import document_source
from trainer.ask.pages.extract import extract
from trainer.ask.ranking.source_text import SourceText

DISTRIBUTION = "darkroom-dreambooth"
SHARE = "share/darkroom/docs/"  # where pyproject.toml has a wheel put them
ROOT = Path(__file__).parents[3]
SITE = "Darkroom's docs"


@lru_cache(maxsize=1)
def own_docs() -> tuple[SourceText, ...]:
    """The README and all pages of the docs; empty where they are not installed."""
    texts = []
    for rank, path in enumerate(_paths()):
        extracted = extract(path.read_bytes(), "text/markdown")
        source = document_source(f"darkroom/{path.name}", extracted, SITE, collection="own docs")
        texts.append(SourceText(source, extracted.text, rank))
    return tuple(texts)


def _paths() -> list[Path]:
    if (ROOT / "pyproject.toml").exists():  # a checkout
        return [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    try:
        installed = files(DISTRIBUTION) or []
    except PackageNotFoundError:
        return []
    paths = [Path(str(each.locate())) for each in installed if SHARE in each.as_posix()]
    return sorted(path for path in paths if path.suffix == ".md" and path.exists())

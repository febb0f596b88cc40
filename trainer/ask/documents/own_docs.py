"""Darkroom's own docs, a collection that is there from the start."""

from functools import lru_cache
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

from storage.contract.ask import OWN_DOCS
from trainer.ask.documents.sources import document_source
from trainer.ask.pages.extract import extract
from trainer.ask.ranking.source_text import SourceText

DISTRIBUTION = "darkroom-dreambooth"
SHARE = "share/darkroom/docs/"  # where pyproject.toml has a wheel put them
ROOT = Path(__file__).parents[3]
FOR_DEVELOPERS = ("benchmarks.md", "design.md")  # figures and reasons, which read like answers to other questions


@lru_cache(maxsize=1)
def own_docs() -> tuple[SourceText, ...]:
    """The README and the pages of the docs for those who use Darkroom; empty where they are not installed."""
    texts = []
    for rank, path in enumerate(path for path in _paths() if path.name not in FOR_DEVELOPERS):
        extracted = extract(path.read_bytes(), "text/markdown")
        source = document_source(f"darkroom/{path.name}", extracted, OWN_DOCS, collection="own docs")
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

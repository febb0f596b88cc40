"""Pages and questions of `held_out.toml`, for which no rule was written: what a figure on them says is not tuned."""

import tomllib
from datetime import date
from pathlib import Path
from typing import Any

from tests.servers.web_pages.pages import Page
from tests.servers.web_pages.questions import KnownQuestion

DATA: dict[str, Any] = tomllib.loads((Path(__file__).parent / "held_out.toml").read_text())


def held_out_pages() -> list[Page]:
    """Every page, in the order of the file."""
    return [_page(**fields) for fields in DATA["page"]]


def held_out_questions() -> list[KnownQuestion]:
    """Questions that the pages answer, then those that nothing answers."""
    known = [_question(**fields) for fields in DATA["question"]]
    return known + [KnownQuestion(fields["text"], "unanswerable") for fields in DATA["unanswerable"]]


def _page(name: str, title: str, text: str, published: date) -> Page:
    host, slash, path = name.partition("/")
    paragraphs = tuple(" ".join(part.split()) for part in text.strip().split("\n\n"))
    return Page(host, slash + path, title, paragraphs, published)


def _question(
    text: str, answer: str, support: list[str], kind: Any = "", other: str = "", against: tuple[str, ...] = ()
) -> KnownQuestion:
    usual = "two sources" if len(support) > 1 else "one source"
    return KnownQuestion(text, kind or usual, answer, tuple(support), other, tuple(against))

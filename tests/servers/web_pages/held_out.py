"""Pages and questions for which no rule was written, so that a figure on them says what is not tuned.

`held_out.toml` is prose about other topics; `held_out_styles.toml` is of other styles and languages;
`held_out_third.toml` is a bit of both; `held_out_fourth.toml` is mostly of contradictions in other words and of
questions about things that only look like those of the pages, and no rule may be made after a look at it;
`held_out_fifth.toml` is of forums, changelogs, price lists and timetables, and was measured once.
"""

import re
import tomllib
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any, Literal

from tests.servers.web_pages.pages import Page
from tests.servers.web_pages.questions import KnownQuestion

HeldOutSet = Literal["held_out", "held_out_styles", "held_out_third", "held_out_fourth", "held_out_fifth"]
LINE = re.compile(r"[-|#] ?")  # at its beginning: an item of a list, a row of a table, a heading


def held_out_pages(name: HeldOutSet = "held_out") -> list[Page]:
    """Every page, in the order of the file."""
    return [_page(**fields) for fields in _data(name)["page"]]


def held_out_questions(name: HeldOutSet = "held_out") -> list[KnownQuestion]:
    """Questions that the pages answer, then those that nothing answers."""
    data = _data(name)
    known = [_question(**fields) for fields in data["question"]]
    return known + [KnownQuestion(fields["text"], "unanswerable") for fields in data["unanswerable"]]


@cache
def _data(name: HeldOutSet) -> dict[str, Any]:
    return tomllib.loads((Path(__file__).parent / f"{name}.toml").read_text())


def _page(name: str, title: str, text: str, published: date) -> Page:
    host, slash, path = name.partition("/")
    blocks = (part.strip() for part in text.strip().split("\n\n"))
    return Page(host, slash + path, title, tuple(line for block in blocks for line in _lines(block)), published)


def _lines(block: str) -> list[str]:
    """A paragraph as one line; a list, a table or a heading line by line."""
    return block.splitlines() if LINE.match(block) else [" ".join(block.split())]


def _question(
    text: str, answer: str, support: list[str], kind: Any = "", other: str = "", against: tuple[str, ...] = ()
) -> KnownQuestion:
    usual = "two sources" if len(support) > 1 else "one source"
    return KnownQuestion(text, kind or usual, answer, tuple(support), other, tuple(against))

"""Keeps what a page says by its structure, which extraction of the text alone would lose.

Headings become Markdown's, terms and labels stand beside their values, squares stay squares, numbers of footnotes go.
"""

import re
from typing import Any

from lxml import etree

LABEL = re.compile(r"[^\W\d][^.!?\n]{0,40}")
VALUE_MAX = 60  # characters
INLINE = ("span", "b", "strong", "em", "i", "label", "small")
REFERENCE = re.compile(r"\[?(?:\d{1,3}|[a-z]|note \d+|citation needed)\]?", re.IGNORECASE)
RAISED = {"2": "²", "3": "³"}


def keep_structure(tree: Any) -> None:
    """Change the tree of a page, in place."""
    for raised in list(tree.iter("sup")):
        _raised(raised)
    for level in range(2, 7):
        for heading in tree.iter(f"h{level}"):
            heading.text = f"{'#' * level} {(heading.text or '').lstrip()}"
    for element in list(tree.iter("div", "li", "p")):
        _labelled(element)
    for terms in list(tree.iter("dl")):
        _terms(terms)
    for element in tree.iter(*INLINE):
        _apart(element)


def _raised(element: Any) -> None:
    """A square or cube as a character; a footnote's number is left out."""
    text = _text(element)
    is_link = element.find(".//a") is not None
    if text in RAISED and not is_link and _before(element)[-1:].isalpha():
        _replace(element, RAISED[text])
    elif REFERENCE.fullmatch(text) and (is_link or text.startswith("[")):
        _replace(element, "")


def _terms(element: Any) -> None:
    """A list of terms as lines, each with its values: `Height: 98 m`."""
    lines: list[tuple[str, list[str]]] = []
    for each in element.iter("dt", "dd"):
        text = _text(each)
        if each.tag == "dt" or not lines:
            lines.append((text, []))
        else:
            lines[-1][1].append(text)
    tail = element.tail
    element.clear()
    element.tag, element.tail = "div", tail
    for term, values in lines:
        line = etree.SubElement(element, "p")
        line.text = f"{term.rstrip(':')}: {'; '.join(values)}" if values else term


def _labelled(element: Any) -> None:
    """A label and its value, in two elements and nothing else, as one line."""
    children = list(element)
    if len(children) != 2 or any(len(child) or child.tag not in (*INLINE, "div", "p") for child in children):
        return
    if any((text or "").strip() for text in (element.text, children[0].tail, children[1].tail)):
        return
    label, value = map(_text, children)
    if LABEL.fullmatch(label) and 0 < len(value) <= VALUE_MAX and any(c.isdigit() for c in value):
        for child in children:
            element.remove(child)
        element.tag, element.text = "p" if element.tag == "div" else element.tag, f"{label.rstrip(':')}: {value}"


def _apart(element: Any) -> None:
    """A space between a word and what a page shows beside it, where there is none in its source."""
    following = element.getnext()
    if element.tail or following is None or following.tag not in INLINE:
        return
    ours, theirs = _text(element), _text(following)
    if ours[-1:].isalpha() and (theirs[:1].isdigit() or theirs[:1].isupper()) and not ours[-1:].isupper():
        element.tail = " "


def _text(element: Any) -> str:
    return " ".join(
        str(element.text_content() if hasattr(element, "text_content") else "".join(element.itertext())).split()
    )


def _before(element: Any) -> str:
    previous = element.getprevious()
    before = previous.tail if previous is not None else element.getparent().text
    return str(before or "")


def _replace(element: Any, text: str) -> None:
    """Put a text in the place of an element."""
    parent, previous = element.getparent(), element.getprevious()
    text += element.tail or ""
    if previous is not None:
        previous.tail = (previous.tail or "") + text
    else:
        parent.text = (parent.text or "") + text
    parent.remove(element)

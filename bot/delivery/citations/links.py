"""Citation markers of an answer as links, in the markup of each platform."""

import re
from collections.abc import Callable, Sequence
from typing import Literal

from bot.core.messages import TextLink

Markup = Literal["discord", "slack", "markdown", "plain"]

UNSAFE = re.compile(r"[\s<>()\[\]|\\\"]")


def _escaped(url: str) -> str:
    """A URL without what would end it in any markup (percent-encoded, RFC 3986)."""
    return UNSAFE.sub(lambda match: "".join(f"%{byte:02X}" for byte in match[0].encode()), url)


LINKS: dict[Markup, Callable[[int, str], str]] = {
    "discord": lambda number, url: f"[[{number}]](<{url}>)",  # <>: without a preview of the page
    "slack": lambda number, url: f"<{url}|[{number}]>",
    "markdown": lambda number, url: f"[\\[{number}\\]]({url})",
    "plain": lambda number, _: f"[{number}]",
}


def link(number: int, url: str, markup: Markup) -> str:
    """A marker as a link; a source without a web address, like a document, has a marker only."""
    is_web = url.startswith(("https://", "http://"))
    return LINKS[markup if is_web else "plain"](number, _escaped(url))


MARKER = re.compile(r"\[(\d{1,9})\]")


def marked_up(text: str, links: Sequence[TextLink], markup: Markup, escape: Callable[[str], str] = str) -> str:
    """A reply's text with its links; `escape` makes all words safe in the markup."""
    pieces, at = [], 0
    for each in links:
        label = text[each.start : each.end]
        marker = MARKER.fullmatch(label)
        shown = link(int(marker[1]), each.url, markup) if marker else _titled(escape(label), each.url, markup)
        pieces += [escape(text[at : each.start]), shown]
        at = each.end
    return "".join([*pieces, escape(text[at:])])


def _titled(label: str, url: str, markup: Markup) -> str:
    """A link whose words are escaped already."""
    if markup == "slack":
        return f"<{_escaped(url)}|{label}>"
    brackets = re.sub(r"[\[\]]", lambda match: f"\\{match[0]}", label)
    return label if markup == "plain" else f"[{brackets}](<{_escaped(url)}>)"

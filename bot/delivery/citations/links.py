"""Citation markers of an answer as links, in the markup of each platform."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from bot.core.messages import TextLink
from storage.contract.ask import Answer

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


def linked_text(answer: Answer, markup: Markup, escape: Callable[[str], str] = str) -> str:
    """The text with its citations as links; `escape` makes the text between them safe in the markup."""
    sources = {source.id: source for source in answer.sources}
    pieces, at = [], 0
    for citation in sorted(answer.citations, key=lambda each: each.start):
        source = sources.get(citation.source_id)
        if source is None or citation.start < at:
            continue
        pieces += [escape(answer.text[at : citation.start]), link(citation.number, source.url, markup)]
        at = citation.end
    return "".join([*pieces, escape(answer.text[at:])])


def link_markers(text: str, urls: Mapping[int, str], markup: Markup) -> str:
    """The same for text that is still coming, whose spans are not known: only markers of known numbers are links."""

    def replaced(match: re.Match[str]) -> str:
        url = urls.get(int(match[1]))
        return link(int(match[1]), url, markup) if url is not None else match[0]

    return re.sub(r"\[(\d{1,9})\](?!\()", replaced, text)

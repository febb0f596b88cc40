"""Answers as messages: citation markers as links in each platform's markup, and long answers in several messages."""

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


# ---- long answers

UNBREAKABLE = re.compile(
    r"!?\[(?:[^\[\]\n]|\[[^\[\]\n]*\]){0,300}\]\((?:<[^>\n]*>|[^()<\s]|\([^()\s]*\))*\)"  # links, matched in one way
    r"|<https?://[^>\n]*>"  # Slack's, and bare ones
    r"|(?:\[\d{1,9}\])+"  # markers that stand together
    r"|https?://[^\s<>]+"
)
FENCE_MAX = 40  # characters of an opening line that is repeated in each message; of a longer one, its mark
FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})([^\n`]*)$", re.MULTILINE)
JOINED = re.compile("[\u200d\ufe0f\u0300-\u036f\U0001f3fb-\U0001f3ff]")
BREAKS = ("\n\n", "\n", ". ", " ")  # where to break, the best first


def split_message(text: str, limit: int) -> list[str]:
    """The text in pieces of at most `limit` characters; code blocks are closed and opened again between them.

    A link that is longer than a whole message is the one thing that is cut.
    """
    messages: list[str] = []
    fence = ""
    while text.strip():
        head = f"{fence}\n" if fence else ""
        left = limit - len(head)
        end = len(text) if len(text) <= left else _break_at(text, left - 4 if "`" in text or "~" in text else left)
        piece, text = head + text[:end].rstrip(), text[end:].lstrip("\n " if not fence else "\n")
        fence = _open_fence(piece)
        messages.append(f"{piece}\n{fence.strip()[:3]}" if fence and text.strip() else piece)
        fence = fence if text.strip() else ""
    return messages or [""]


def _break_at(text: str, limit: int) -> int:
    """Where to break: the last good place before the limit."""
    limit = max(limit, 1)
    spans = [match.span() for match in UNBREAKABLE.finditer(text, 0, min(len(text), limit + 5000))]
    for mark in BREAKS:
        at = text.rfind(mark, 0, limit)
        while at > limit // 3:
            end = at + len(mark)
            if end <= limit and not any(start < end < stop for start, stop in spans):
                return end
            at = text.rfind(mark, 0, at)
    cut = next((start for start, stop in spans if start < limit < stop and start > 0), limit)
    while cut > 1 and JOINED.match(text, cut):
        cut -= 1
    return cut


def _open_fence(text: str) -> str:
    """The line that opened a code block which the text does not close; empty if there is none."""
    opened = ""
    for match in FENCE.finditer(text):
        if not opened:
            opened = match[0] if len(match[0]) <= FENCE_MAX else match[1][:3]
        elif match[1].startswith(opened.strip()[:3]) and not match[2].strip():
            opened = ""
    return opened

"""Splitting a long answer into messages: never within a link, a citation or a character of several code points."""

import re

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

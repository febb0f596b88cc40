"""Slack's way of writing text: what people typed comes in marked up, what we say must not be read as markup.

`<!channel>`, `<@U1>` and links are commands to Slack only with their angle brackets; escaped they are words.
"""

import re

MARK = re.compile(r"<([@#!]?)([^<>|]*)(?:\|([^<>]*))?>")
ESCAPES = {"&lt;": "<", "&gt;": ">", "&amp;": "&"}  # in this order: what was escaped twice is unescaped once
ESCAPED_MOST = 5  # letters that one becomes at most
GROUP = "subteam^"


def escape(text: str) -> str:
    """Text as Slack shows it letter by letter.

    >>> escape("a <!channel> & dog")
    'a &lt;!channel&gt; &amp; dog'
    """
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def plain(text: str) -> str:
    """What a person typed, from what Slack made of it. A user group becomes its id, which *share* needs.

    >>> plain("draw <@U1|ada> in <#C1|paris> &lt;3 for <!subteam^S1|@all> at <https://a.example|a.example>")
    'draw @ada in #paris <3 for S1 at a.example'
    """
    words = MARK.sub(_typed, text)
    for escaped, letter in ESCAPES.items():
        words = words.replace(escaped, letter)
    return words


def _typed(mark: re.Match[str]) -> str:
    kind, target, label = mark[1], mark[2], mark[3]
    if target.startswith(GROUP):
        return target.removeprefix(GROUP)
    sign = "" if label and label.startswith(("@", "#")) else {"!": "@"}.get(kind, kind)
    return sign + (label or target)


def clipped(text: str, longest: int) -> str:
    """Text that fits, with an ellipsis where it was cut.

    >>> clipped("a very long name", 8)
    'a very …'
    """
    return text if len(text) <= longest else text[: longest - 1] + "…"


def fitted(text: str, longest: int) -> str:
    """Escaped text that fits, cut between letters.

    >>> fitted("rex & mia", 11), fitted("rex & mia in Paris", 14)
    ('rex &amp; …', 'rex &amp; mia…')
    """
    kept = text
    while (over := len(escape(kept)) + (kept != text) - longest) > 0:
        kept = kept[: -max(1, over // ESCAPED_MOST)]
    return escape(kept) if kept == text else f"{escape(kept)}…"

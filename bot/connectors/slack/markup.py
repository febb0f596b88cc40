"""Slack's way of writing text: what people typed comes in marked up, what we say must not be read as markup.

`<!channel>`, `<@U1>` and links are commands to Slack only with their angle brackets; escaped they are words. For the
rest (`*bold*`, `> quote`, `:emoji:`) it has no escapes, so they go as plain text where that can be.
"""

import re

MARK = re.compile(r"<([@#!]?)([^<>|]*)(?:\|([^<>]*))?>")
ESCAPES = {"&lt;": "<", "&gt;": ">", "&amp;": "&"}  # in this order: what was escaped twice is unescaped once
GROUP = "subteam^"
BOLD = re.compile(r"\*\*(?=\S)([^*\n]+?)(?<=\S)\*\*")
NOTHING = "\u200b"  # a space without width: what it stands beside is no markup
FORMATS = re.compile(  # not inside of words, where they mean nothing: snake_case
    r"(?<![^\W_])[*_~＊＿]|[*_~＊＿](?![^\W_])|[`｀]|^(?=[>＞])|:(?=//|[^\s:]+:)", re.MULTILINE
)


def escape(text: str) -> str:
    """Text in which nobody is called.

    >>> escape("a <!channel> & dog")
    'a &lt;!channel&gt; &amp; dog'
    """
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def unformatted(text: str) -> str:
    """Text beside markup of ours, as Slack shows it letter by letter.

    >>> unformatted("*a* <b> :dog:").replace(NOTHING, "|")
    '*|a*| &lt;b&gt; :|dog:'
    """
    return escape(FORMATS.sub(rf"\g<0>{NOTHING}", text))


def from_markdown(text: str) -> str:
    """Text of a language model: what is bold in Markdown is bold, all else is shown letter by letter.

    >>> from_markdown("**a** <b>")
    '*a* &lt;b&gt;'
    """
    return "".join(
        f"*{unformatted(part)}*" if at % 2 else unformatted(part) for at, part in enumerate(BOLD.split(text))
    )


def plain(text: str) -> str:
    """What a person typed, from what Slack made of it. A user group becomes its id, which *share* needs.

    >>> plain("draw <@U1|ada> in <#C1|paris> &lt;3 for <!subteam^S1|@all> at <https://a.example|a.example>")
    'draw @ada in #paris <3 for S1 at a.example'
    """
    words = MARK.sub(_typed, text).replace(NOTHING, "")  # it may be copied from what we said
    for escaped, letter in ESCAPES.items():
        words = words.replace(escaped, letter)
    return words


def _typed(mark: re.Match[str]) -> str:
    kind, target, label = mark[1], mark[2], mark[3]
    if target.startswith(GROUP):
        return target.removeprefix(GROUP)
    sign = "" if label and label.startswith(("@", "#")) else {"!": "@"}.get(kind, kind)
    return sign + (label or target)


def clipped_escaped(escaped: str, longest: int) -> str:
    """Clip a text that is escaped, without cutting an escape in two.

    >>> clipped_escaped("a &amp; b", 6)
    'a …'
    """
    return escaped if len(escaped) <= longest else re.sub(r"&\w*$", "", escaped[: longest - 1]) + "…"

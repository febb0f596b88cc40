"""Joins the lines of paragraphs that were broken at a width: in PDFs, plain text and Markdown.

Lists, tables, headings, code and short lines, as in an address, stay as they are.
"""

import re

FENCE = re.compile(r"\s*(?:```|~~~)")
BLOCK = re.compile(  # a line that begins something: a list's item, a row, a heading, a quotation, an HTML tag
    r"\s*(?:[-*+•▪◦–]\s|\(?(?:\d{1,3}|[A-Za-z])[.)]\s|\||#{1,6}\s|>|<|={3,}|-{3,}|\[[^\]]*\]:)"
)
CODE = re.compile(r" {4}|\t")  # indented, after an empty line
HARD_BREAK = re.compile(r"(?: {2}|\\)$")  # of Markdown
HYPHENATED = re.compile(r"[^\W\d_]{2}-$")
LOWER = re.compile(r"\s*[a-zà-öø-ÿ]")
WIDE = 0.7  # share of a paragraph's longest line: a line that is shorter has ended by itself
WIDTH_LEAST = 40  # characters of lines that were broken at a width
LINES_MEASURED = 50
JOINED_MAX = 5000  # characters of a line
CJK_END = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]$")


def unwrapped(text: str, is_markdown: bool = False) -> str:
    """The text with each paragraph on one line."""
    lines, joined = text.split("\n"), list[str]()
    in_code = is_open = False  # the last line may go on
    width = 0
    for number, line in enumerate(lines):
        if FENCE.match(line):
            in_code = not in_code
        elif is_open and not in_code and _goes_on(joined[-1], lines[number - 1], line, width, is_markdown):
            joined[-1] = _join(joined[-1], line.strip())
            continue
        joined.append(line)
        is_open = _may_go_on(line, lines[number - 1] if number else "") and not in_code
        width = _width(lines, number) if is_open else 0
    return "\n".join(joined)


def _width(lines: list[str], number: int) -> int:
    """The length of the longest line of a paragraph, from one of them on."""
    longest = 0
    for line in lines[number : number + LINES_MEASURED]:
        if not line.strip() or (longest and BLOCK.match(line)):
            break
        longest = max(longest, len(line.rstrip()))
    return longest


def _may_go_on(line: str, before: str) -> bool:
    is_code = CODE.match(line) and not before.strip()
    return bool(line.strip()) and not is_code and not re.match(r"\s*(?:#{1,6}\s|\||<|={3,}|-{3,})", line)


def _goes_on(joined: str, before: str, line: str, width: int, is_markdown: bool) -> bool:
    """Whether a line goes on with what is above it."""
    if not line.strip() or BLOCK.match(line) or len(joined) > JOINED_MAX:
        return False
    if is_markdown:
        return not HARD_BREAK.search(before)
    if HYPHENATED.search(before) or (LOWER.match(line) and len(before) >= WIDTH_LEAST // 2):
        return True
    return width >= WIDTH_LEAST and len(before.rstrip()) >= WIDE * width


def _join(joined: str, line: str) -> str:
    if HYPHENATED.search(joined) and LOWER.match(line):
        return joined[:-1] + line
    return f"{joined.rstrip()}{'' if CJK_END.search(joined) else ' '}{line}"

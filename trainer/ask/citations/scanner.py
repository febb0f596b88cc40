"""An incremental scanner: text that comes in pieces becomes tokens, the same however it is cut.

A bracket is held back until it is known what it is; code, links and footnotes are left alone (CommonMark 0.31, sections
4.5, 6.1 and 6.3, for what a model writes in one line). Every wait has a limit, so that time and memory are linear.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from trainer.ask.citations.markers import CLOSE, OPEN, OPENERS, UNCLOSED, marker_numbers, numbers_in
from trainer.ask.citations.other_markers import STARTERS, other_marker

TokenKind = Literal["text", "space", "newline", "literal", "code", "link", "marker"]

WINDOW = 500  # characters in which a bracket or inline code closes
TARGET = 2048  # characters of a link's target
DEPTH = 3  # of brackets in brackets
BEFORE = 24  # characters that are known of what came before

TEXT = re.compile(rf"[^ \t\n`\\{re.escape(OPENERS)}{STARTERS}]+")
SPACE = re.compile(r"[ \t]+")
BRACKET = re.compile(rf"(?P<open>{OPEN})|(?P<close>{CLOSE})|\n")
ANY_OPEN = re.compile(OPEN)
BRACKETS_AROUND = re.compile(rf"^{OPEN}|{CLOSE}$")
TICKS = re.compile(r"`+")
TICKS_OR_NEWLINE = re.compile(r"`+|\n")
PARENTHESIS = re.compile(r"[()\s]")
FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
FENCE_BEGUN = re.compile(r" {0,3}(?:`{0,2}|~{0,2})")
URL_LIKE = re.compile(r"\d+|.*[/:#.@].*")


@dataclass(frozen=True)
class Token:
    """A piece of the text, a citation marker with the numbers in it, or a link with its target."""

    kind: TokenKind
    text: str
    numbers: tuple[int, ...] = ()
    target: str = ""


class Scanner:
    """Scans one text, piece by piece."""

    def __init__(self, line_start: bool = True) -> None:
        self.brackets_only = False  # no other citations are looked for
        self._rest = ""  # what is held back
        self._before = ""  # the end of what came before that
        self._has_brackets = False  # citations are written in brackets: numbers in parentheses are none
        self._line_start = line_start
        self._fence = ""  # what opened the code block that the text is in

    def feed(self, piece: str) -> list[Token]:
        """The tokens that are certain once this piece has come."""
        self._rest += piece
        return self._scan(at_end=False)

    def finish(self) -> list[Token]:
        """The tokens of what was held back, and the end of an open code block; a new text may follow."""
        tokens = self._scan(at_end=True)
        if self._fence:
            tokens.append(Token("code", ("" if self._line_start else "\n") + self._fence))
        self._fence = ""
        return tokens

    def _scan(self, at_end: bool) -> list[Token]:
        tokens: list[Token] = []
        at = 0
        while at < len(self._rest):
            step = self._step(_Cursor(self._rest, at, at_end))
            if step is None:
                break
            scanned, end = step
            self._before = (self._before + self._rest[at:end])[-BEFORE:]
            at = end
            for token in scanned:
                tokens.append(token)
                self._line_start = token.text.endswith("\n") or (self._line_start and token.kind == "space")
                self._has_brackets |= token.kind == "marker" and token.text[:1] in OPENERS
        self._rest = self._rest[at:]
        return tokens

    def _step(self, cursor: "_Cursor") -> "_Step":
        if self._fence:
            return self._code_line(cursor)
        character = cursor.text[cursor.at]
        if self._line_start and character in " `~":
            if cursor.is_undecided(FENCE_BEGUN):
                return None
            if FENCE.match(cursor.text, cursor.at):
                return self._fence_line(cursor)
        if character == "\n":
            return cursor.token("newline", cursor.at + 1)
        if character == "`":
            return _inline_code(cursor)
        if character == "\\":
            return _escape(cursor)
        if character in OPENERS:
            return _bracket(cursor)
        if character in STARTERS:
            return cursor.token("text", cursor.at + 1) if self.brackets_only else self._other_marker(cursor)
        pattern: re.Pattern[str] = SPACE if character in " \t" else TEXT
        match = pattern.match(cursor.text, cursor.at)
        assert match
        return cursor.token("space" if pattern is SPACE else "text", match.end())

    def _other_marker(self, cursor: "_Cursor") -> "_Step":
        """A citation without brackets, or the character that looked like the beginning of one."""
        found = other_marker(cursor.text, cursor.at, self._before, cursor.at_end)
        if found == "more":
            return None
        if found is None or (self._has_brackets and cursor.text[cursor.at] == "("):
            return cursor.token("text", cursor.at + 1)
        end, numbers = found
        marker = Token("marker", cursor.text[cursor.at : end], numbers)
        is_raised = cursor.text[cursor.at] != "(" and not self._before[-1:].isspace()
        return ([Token("space", " "), marker] if is_raised else [marker]) if numbers else [], end

    def _fence_line(self, cursor: "_Cursor") -> "_Step":
        """Take the line that opens a code block; three backticks may also be inline code."""
        end = cursor.line_end()
        if end is None:
            return None
        match = FENCE.match(cursor.text, cursor.at)
        assert match
        if match[1][0] == "`" and "`" in cursor.text[match.end() : end]:
            if match[0][0] == " ":
                return cursor.token("space", match.start(1))
            return _inline_code(cursor)
        self._fence = match[1]
        return cursor.token("code", end)

    def _code_line(self, cursor: "_Cursor") -> "_Step":
        end = cursor.line_end()
        if end is None:
            return None
        line = cursor.text[cursor.at : end]
        mark = line.strip()
        if self._line_start and mark.startswith(self._fence) and not mark.strip(self._fence[0]):
            self._fence = ""
        return cursor.token("code", end)


@dataclass(frozen=True)
class _Cursor:
    """A place in the text that has come, and whether more may come."""

    text: str
    at: int
    at_end: bool

    def token(self, kind: TokenKind, end: int, numbers: tuple[int, ...] = ()) -> "tuple[list[Token], int]":
        """The text up to `end` as one token."""
        return [Token(kind, self.text[self.at : end], numbers)], end

    def line_end(self) -> int | None:
        """Where the line ends, or a piece of one that is too long to wait for; None if more has to come."""
        found = self.text.find("\n", self.at, self.at + TARGET) + 1
        if found or self.at_end or len(self.text) - self.at >= TARGET:
            return found or min(len(self.text), self.at + TARGET)
        return None

    def waits(self, end: int) -> bool:
        """Whether what comes at `end` is not known yet."""
        return end >= len(self.text) and not self.at_end

    def is_undecided(self, pattern: re.Pattern[str]) -> bool:
        """Whether all that has come is the beginning of what is looked for."""
        return not self.at_end and pattern.fullmatch(self.text, self.at) is not None


_Step = tuple[list[Token], int] | None


def _inline_code(cursor: _Cursor) -> _Step:
    ticks = TICKS.match(cursor.text, cursor.at)
    assert ticks
    if cursor.waits(ticks.end()):
        return None
    limit = cursor.at + WINDOW
    for run in TICKS_OR_NEWLINE.finditer(cursor.text, ticks.end(), limit):
        if run[0] == "\n":
            return cursor.token("text", ticks.end())
        if run.end() == min(len(cursor.text), limit) and not cursor.at_end and run.end() < limit:
            return None  # the run may go on
        if run[0] == ticks[0]:
            return cursor.token("code", run.end())
    return None if cursor.waits(limit) else cursor.token("text", ticks.end())


def _escape(cursor: _Cursor) -> _Step:
    after = cursor.at + 1
    if cursor.waits(after):
        return None
    following = cursor.text[after : after + 1]
    if following and following in OPENERS:
        return _bracket(cursor)
    return cursor.token("text", after if following in " \t\n" else after + 1)


def _bracket(cursor: _Cursor) -> _Step:
    depth, limit = 0, cursor.at + WINDOW
    for found in BRACKET.finditer(cursor.text, cursor.at, limit):
        if found["open"]:
            depth += 1
        elif found["close"]:
            depth -= 1
        if not depth:
            return _closed_bracket(cursor, found.end())
        if depth > DEPTH or found[0] == "\n":
            return _unclosed_bracket(cursor)
    return None if cursor.waits(limit) else _unclosed_bracket(cursor)


def _unclosed_bracket(cursor: _Cursor) -> _Step:
    """A citation without its end is one; of any other bracket that never closes only what is in it is text."""
    match = UNCLOSED.match(cursor.text, cursor.at)
    if match:
        return cursor.token("marker", match.end(), numbers_in(match[0]))
    opener = ANY_OPEN.match(cursor.text, cursor.at)
    assert opener
    return [], opener.end()


def _closed_bracket(cursor: _Cursor, end: int) -> _Step:
    if cursor.waits(end):
        return None
    numbers = marker_numbers(cursor.text[cursor.at : end])
    if cursor.text[end : end + 1] == "(":
        target_end = _target_end(cursor, end)
        if target_end is None:
            return None
        if target_end and numbers is None:
            target = cursor.text[end + 1 : target_end - 1]
            text = BRACKETS_AROUND.sub("", cursor.text[cursor.at : end])
            return [Token("link", f"[{text}]({target})", target=target)], target_end
        if target_end and URL_LIKE.fullmatch(cursor.text[end + 1 : target_end - 1]):
            end = target_end  # a model's own address for a source is not to be trusted: the number alone counts
    if numbers is not None:
        return cursor.token("marker", end, numbers)
    return list(_bracketed_text(cursor.text[cursor.at : end])), end


def _target_end(cursor: _Cursor, begin: int) -> int | None:
    """Where the target of a link ends that begins at `begin`; 0: it is no link; None: more has to come."""
    depth, limit = 0, begin + TARGET
    for found in PARENTHESIS.finditer(cursor.text, begin, limit):
        depth += 1 if found[0] == "(" else -1
        if found[0] not in "()" or depth > DEPTH:
            return 0
        if not depth:
            return found.end()
    return None if cursor.waits(limit) else 0


def _bracketed_text(token: str) -> Iterator[Token]:
    """Text in brackets, which may have citations in it: `[as in [1]]`."""
    opener = ANY_OPEN.match(token)
    assert opener
    inner = token[opener.end() : -1]
    if not any(each in inner for each in OPENERS):
        yield Token("literal", token)
        return
    closer = "\\" if inner.endswith("\\") else ""
    scanner = Scanner(line_start=False)
    yield Token("literal", opener[0])
    yield from scanner.feed(inner.removesuffix(closer)) + scanner.finish()
    yield Token("literal", closer + token[-1])

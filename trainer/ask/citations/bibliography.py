"""Leaves out the list of sources that models write below their answers, though they are asked not to.

What is cited is listed by whoever shows an answer; a model's own list may have made-up titles and addresses.
"""

import re

HEADINGS = frozenset(
    "sources|source|references|reference|citations|bibliography|works cited|sources used|sources cited|footnotes|"
    "quellen|fuentes|fonti|bronnen|références|出典|参考文献|参考资料".split("|")
)
MARKS = " \t#*_:："
ENTRY = re.compile(r"\s*(?:[-*+•]\s|\(?\d{1,3}[.):]\s|[\[【［(]|https?://|<)")
NOTE = re.compile(  # an entry without a heading: its address stands at once or at the end, and is no link's
    r"\s*(?:[-*+•]\s+)?[\[【［](?:\^\d{1,3}[\]】］]:|\d{1,3}[\]】］](?:[:.]?\s*<?https?://|(?!\().*https?://\S+\s*$))"
)
NOTE_BEGUN = re.compile(r"\s*(?:[-*+•]\s*)?(?:[\[【［].*)?")
FENCE = re.compile(r"\s*(`{3,}|~{3,})")  # of a code block, in which nothing is a list of sources
FENCE_MAX = 20  # characters in which one begins
ASKED = re.compile(rf"(?<![a-z])(?:{'|'.join(HEADINGS)})(?![a-z])")
LINE_MAX = 1000  # characters for which a line is held back


class BibliographyFilter:
    """Takes the pieces of one text, and gives what is none of the list, without line breaks at its end.

    Lines are held back only while they may be part of one.
    """

    def __init__(self, question: str = "") -> None:
        """A question about sources, those of a river say, may be answered by a list with such a heading."""
        self._is_asked_for = ASKED.search(question.lower()) is not None
        self._line_start = ""
        self._fence = ""  # what opened the code block that the text is in
        self._line = ""  # the line that is looked at
        self._passes = False  # the rest of this line is text
        self._heading = ""  # of the list that the text is in, with what followed; it is shown if it was none
        self._has_entries = False
        self._breaks = 0  # line breaks that are shown once a text follows

    def feed(self, piece: str) -> str:
        """What is certain to be text now."""
        shown = ""
        while piece:
            part, newline, piece = piece.partition("\n")
            shown += self._with_breaks(self._take(part, newline))
            self._look_for_fence(part, newline)
        return shown

    def finish(self) -> str:
        """What was held back: the text is over."""
        shown = self._with_breaks(self._decided(self._line, ""))
        self._line, self._passes, self._breaks = "", False, 0
        return shown

    def _with_breaks(self, text: str) -> str:
        shown = text.rstrip("\n")
        before = "\n" * self._breaks if shown else ""
        self._breaks = len(text) - len(shown) + (0 if shown else self._breaks)
        return before + shown

    def _look_for_fence(self, part: str, newline: str) -> None:
        self._line_start += part[: FENCE_MAX - len(self._line_start)]
        if newline:
            found, self._line_start = FENCE.match(self._line_start), ""
            if found and not self._fence:
                self._fence = found[1]
            elif found and found[1].startswith(self._fence):
                self._fence = ""

    def _take(self, part: str, newline: str) -> str:
        if self._passes:
            self._passes = not newline
            return part + newline
        self._line += part
        if newline:
            line, self._line = self._line, ""
            return self._decided(line, newline)
        if self._may_be_listed():
            return ""
        line, self._line, self._passes = self._line, "", True
        return self._with_heading(line)

    def _with_heading(self, line: str) -> str:
        """A line that is text, after the heading that was none."""
        heading, self._heading = self._heading, ""
        return line if self._has_entries else heading + line

    def _may_be_listed(self) -> bool:
        """Whether it may still turn out that the line, as far as it has come, is part of a list of sources."""
        if len(self._line) > LINE_MAX or self._fence:
            return False
        bare = self._line.strip(MARKS).lower()
        is_begun = any(heading.startswith(bare) for heading in HEADINGS)
        return bool(self._heading) or is_begun or NOTE_BEGUN.fullmatch(self._line) is not None

    def _decided(self, line: str, newline: str) -> str:
        """What is shown of a whole line."""
        if len(line) > LINE_MAX or self._fence:
            return self._with_heading(line + newline)
        if NOTE.match(line):
            return ""
        if not self._heading:
            if line.strip(MARKS).lower() not in HEADINGS or self._is_asked_for:
                return line + newline
            self._heading, self._has_entries = line + newline, False
            return ""
        if not line.strip():
            self._heading += line + newline
            return ""
        if ENTRY.match(line):
            self._has_entries = True
            return ""
        return self._with_heading(line + newline)

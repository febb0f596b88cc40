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
NOTE = re.compile(
    r"\s*(?:[-*+•]\s+)?[\[【［](?:\^\d{1,3}[\]】］]:|\d{1,3}[\]】］].*https?://)"
)  # an entry without a heading
NOTE_BEGUN = re.compile(r"\s*(?:[-*+•]\s*)?(?:[\[【［].*)?")
LINE_MAX = 1000  # characters for which a line is held back


class BibliographyFilter:
    """Takes the pieces of one text, and gives what is none of the list, without line breaks at its end.

    Lines are held back only while they may be part of one.
    """

    def __init__(self) -> None:
        self._line = ""  # the line that is looked at
        self._passes = False  # the rest of this line is text
        self._heading = ""  # of the list that the text is in, with what followed; it is shown if it was none
        self._has_entries = False
        self._breaks = ""  # line breaks that are shown once a text follows

    def feed(self, piece: str) -> str:
        """What is certain to be text now."""
        shown = ""
        while piece:
            part, newline, piece = piece.partition("\n")
            shown += self._with_breaks(self._take(part, newline))
        return shown

    def finish(self) -> str:
        """What was held back: the text is over."""
        shown = self._with_breaks(self._decided(self._line, ""))
        self._line, self._passes, self._breaks = "", False, ""
        return shown

    def _with_breaks(self, text: str) -> str:
        text = self._breaks + text
        shown = text.rstrip("\n")
        self._breaks = text[len(shown) :]
        return shown

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
        return line

    def _may_be_listed(self) -> bool:
        """Whether it may still turn out that the line, as far as it has come, is part of a list of sources."""
        if len(self._line) > LINE_MAX:
            return False
        bare = self._line.strip(MARKS).lower()
        is_begun = any(heading.startswith(bare) for heading in HEADINGS)
        return bool(self._heading) or is_begun or NOTE_BEGUN.fullmatch(self._line) is not None

    def _decided(self, line: str, newline: str) -> str:
        """What is shown of a whole line."""
        if NOTE.match(line):
            return ""
        if not self._heading:
            if line.strip(MARKS).lower() not in HEADINGS or not line.strip():
                return line + newline
            self._heading, self._has_entries = line + newline, False
            return ""
        if not line.strip():
            self._heading += line + newline
            return ""
        if ENTRY.match(line):
            self._has_entries = True
            return ""
        before, self._heading = "" if self._has_entries else self._heading, ""
        return before + line + newline

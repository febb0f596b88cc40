"""The citation processor: a model's stream becomes text that is safe to show, with true and stable citations."""

import codecs
import re
from collections.abc import Mapping, Sequence

from storage.contract.ask import Citation, TextSpan
from trainer.ask.citations.numbering import Numbering
from trainer.ask.citations.scanner import Scanner, Token
from trainer.ask.citations.support import SupportChecker

UNSUPPORTED = " (not found in the sources)"  # follows a sentence whose number, date or quotation no source has
SENTENCE_END = re.compile(r"(?P<word>\S*)[.!?。！？…][\"'”’»)*_]*$")
ABBREVIATION = re.compile(
    r"(?:^|[^\w])(?:[A-Za-z]|[A-Za-z]\.[A-Za-z]|approx|ca|cf|dr|etc|fig|inc|jr|ltd|mr|mrs|ms|no|nr|prof|sr|st|vs|vol)$",
    re.IGNORECASE,
)
LIST_NUMBER = re.compile(r"[\s#>*+-]*\(?\d{1,2}[.)]")
RAISED = re.compile("[⁽⁰¹²³⁴-⁹⁾]+")
TAIL = 80  # characters in which the end of a sentence can be told


class CitationProcessor:
    """Takes the pieces of one text; what `feed` and `finish` return, put together, is `text`.

    The result is the same however the text is cut, also within a character. A number that stands for no source is
    dropped; what a source does not say is not cited to it.
    """

    def __init__(
        self, labels: Mapping[int, str], numbering: Numbering | None = None, checker: SupportChecker | None = None
    ) -> None:
        """`labels` are ids of sources by the numbers under which the model was sent them."""
        self._labels, self._numbering, self._checker = labels, numbering or Numbering(), checker
        self._utf8 = codecs.getincrementaldecoder("utf-8")("replace")
        self._surrogate = ""  # the first half of a character, of which JSON may send the halves one by one
        self._scanner = Scanner()
        self._shown: list[str] = []
        self._length = 0
        self._space = ""  # not shown yet: it goes if a citation after it is dropped
        self._group: list[str] | None = None  # ids of sources cited at this place, until something else follows
        self._group_space = ""
        self._sentence = _Sentence()
        self._sentence_start = 0
        self.citations: list[Citation] = []
        self.unsupported: list[TextSpan] = []

    @property
    def text(self) -> str:
        """All that was shown so far."""
        return "".join(self._shown)

    def trust(self, labels: Mapping[int, str]) -> None:
        """What follows is no model's: it may cite all these sources, and is not checked. Comes after `finish`."""
        self._labels, self._checker, self._scanner.brackets_only = labels, None, True

    def feed(self, piece: str | bytes) -> str:
        """Take the next piece, and return what can be shown now."""
        decoded = self._utf8.decode(piece) if isinstance(piece, bytes) else piece
        return self._take(self._scanner.feed(self._whole_characters(decoded)))

    def finish(self) -> str:
        """Return what was held back: the text is over."""
        rest = self._utf8.decode(b"", True) + ("�" if self._surrogate else "")
        self._surrogate = ""
        before = len(self._shown)
        self._take(self._scanner.feed(rest) + self._scanner.finish())
        self._end_group()
        self._end_sentence()
        return "".join(self._shown[before:])

    def _whole_characters(self, piece: str) -> str:
        """Join halves of characters (UTF-16 surrogates) that came in two pieces; a half without the other is none."""
        piece = self._surrogate + piece
        self._surrogate = piece[-1] if piece and "\ud800" <= piece[-1] <= "\udbff" else ""
        piece = piece.removesuffix(self._surrogate) if self._surrogate else piece
        if piece.isascii() or not re.search("[\ud800-\udfff]", piece):
            return piece
        return piece.encode("utf-16", "surrogatepass").decode("utf-16", "replace")

    def _take(self, tokens: list[Token]) -> str:
        before = len(self._shown)
        for token in tokens:
            if token.kind == "marker":
                self._cite(token)
            elif token.kind == "space":
                self._space += token.text
            elif token.kind == "link":
                self._link(token)
            else:
                self._show(token)
        return "".join(self._shown[before:])

    def _cite(self, token: Token) -> None:
        numbers = [number for number in token.numbers if number in self._labels]
        if not numbers and token.text.startswith("(") and not any(map(str.isalpha, token.text)):  # a remark
            self._show(Token("literal", token.text))
            return
        if not numbers and RAISED.fullmatch(token.text):  # of two sources, side by side
            digits = (int(digit) for number in token.numbers for digit in str(number))
            numbers = [digit for digit in digits if digit in self._labels]
        self._cite_sources([self._labels[number] for number in numbers])

    def _cite_sources(self, ids: Sequence[str]) -> None:
        if self._group is None:
            self._group, self._group_space = [], self._space
        self._group += ids
        self._space = ""

    def _link(self, token: Token) -> None:
        """A link to a source is a citation; of any other only the text is shown, unless a source has its address."""
        if not self._checker:
            self._show(Token("literal", token.text))
            return
        source = self._checker.source_at(token.target)
        is_known = source is None and self._checker.has_address(token.target)
        shown = token.text if is_known else token.text[1 : token.text.rindex("](")]
        if shown:
            self._show(Token("literal", shown))
        if source is not None:
            self._space += " "
            self._cite_sources([source])

    def _show(self, token: Token) -> None:
        self._end_group()
        is_break = token.kind == "newline" or (token.kind == "code" and token.text.endswith("\n"))
        if is_break or (self._space and self._sentence.is_over and not token.text[:1].islower()):
            self._end_sentence()
        if self._space:
            self._sentence.add(" ")
            self._emit(self._space)
            self._space = ""
        if self._sentence.is_empty:
            self._sentence_start = self._length + len(token.text) - len(token.text.lstrip())
        self._emit(token.text)
        if token.kind != "code":
            self._sentence.add(token.text)
        if is_break:
            self._sentence = _Sentence()

    def _end_group(self) -> None:
        """Show the citations that stand together, once it is known which."""
        if self._group is None:
            return
        ids, self._group = list(dict.fromkeys(self._group)), None
        segment = self._sentence.take_segment()
        if self._checker:  # which may know a source for numbers that stand for none
            is_cited = bool(ids)
            ids, is_supported = self._checker.cited(segment, ids)
            self._sentence.failed |= is_cited and not is_supported
        if not ids:
            at_line_start = not self._shown or self._shown[-1].endswith("\n")
            self._space = "" if at_line_start else self._space
            self._sentence.uncited += segment
            return
        self._emit_citations(ids, self._group_space)

    def _emit_citations(self, ids: Sequence[str], space: str) -> None:
        self._emit(space)
        for id_ in ids:
            number = self._numbering.number_of(id_)
            start = self._length
            self._emit(f"[{number}]")
            self.citations.append(Citation(start=start, end=self._length, source_id=id_, number=number))
        self._sentence.is_cited = True

    def _end_sentence(self) -> None:
        """Mark the sentence that is over if it has a number, a date or a quotation that no source has.

        One without a citation gets that of the source that says it.
        """
        sentence, self._sentence = self._sentence, _Sentence()
        if not self._checker or sentence.is_empty:
            return
        rest = sentence.uncited + sentence.take_rest()
        if sentence.failed or not self._checker.is_known(rest):
            self.unsupported.append(TextSpan(start=self._sentence_start, end=self._length))
            self._emit(UNSUPPORTED)
        elif not sentence.is_cited and (source := self._checker.source_of(rest)):
            self._emit_citations([source], " ")
            self._sentence = _Sentence()

    def _emit(self, text: str) -> None:
        if text:
            self._shown.append(text)
            self._length += len(text)


class _Sentence:
    """The sentence that is being written, without its citations."""

    def __init__(self) -> None:
        self._tail = ""
        self._segment: list[str] = []  # since the last citation
        self._last_segment = ""
        self.is_empty = True
        self.uncited = ""  # segments whose citations were all dropped
        self.failed = False
        self.is_cited = False

    def add(self, text: str) -> None:
        self._segment.append(text)
        self._tail = (self._tail + text)[-TAIL:]
        self.is_empty = self.is_empty and not text.strip()

    @property
    def is_over(self) -> bool:
        end = SENTENCE_END.search(self._tail)
        return end is not None and not ABBREVIATION.search(end["word"]) and not LIST_NUMBER.fullmatch(self._tail)

    def take_segment(self) -> str:
        """What a citation here is for: the text since the last one, or before that if they stand apart."""
        segment = self.take_rest()
        if any(c.isalnum() for c in segment):
            self._last_segment = segment
        return self._last_segment

    def take_rest(self) -> str:
        segment, self._segment = "".join(self._segment), []
        return segment

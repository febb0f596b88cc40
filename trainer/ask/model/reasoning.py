"""What reasoning models think before they answer, which some servers leave in the text: `<think>…</think>`."""

import re

OPENING = re.compile(r"\s*<(think|thinking|thought|reasoning|reflection)>", re.IGNORECASE)
CLOSING = re.compile(r"</(?:think|thinking|thought|reasoning|reflection)>\s*", re.IGNORECASE)
BEGUN_OPENING = re.compile(r"\s*(?:<[a-z]{0,10})?", re.IGNORECASE)
BEGUN_CLOSING = re.compile(r"<(?:/[a-z]{0,10})?$|</[a-z]+>\s*$", re.IGNORECASE)


class ReasoningFilter:
    """Takes the pieces of one answer, and gives those that are no thoughts.

    A template may have the opening tag in the prompt, so that thoughts are known only by the closing one: what came
    until then is void.
    """

    def __init__(self) -> None:
        self._rest = ""
        self._is_begun = False  # it is known whether the text begins with an opening tag
        self._is_thinking = False
        self._is_over = False  # there was a closing tag: all that follows is the answer

    def feed(self, piece: str) -> tuple[str, bool]:
        """The text that is certain now, and whether all text before it is void."""
        self._rest += piece
        if not self._is_begun and BEGUN_OPENING.fullmatch(self._rest):
            return "", False
        if not self._is_begun:
            opening = OPENING.match(self._rest)
            self._is_thinking, self._is_begun = bool(opening), True
        return self._take(at_end=False)

    def finish(self) -> tuple[str, bool]:
        """The rest of the text; what is thought without an end is none."""
        self._is_begun = True
        return self._take(at_end=True)

    def _take(self, at_end: bool) -> tuple[str, bool]:
        closing = None if self._is_over else CLOSING.search(self._rest)
        if closing and (at_end or closing.end() < len(self._rest)):
            is_void, self._is_thinking, self._is_over = not self._is_thinking, False, True
            text, self._rest = self._rest[closing.end() :], ""
            return text, is_void
        begun = None if self._is_over or at_end else BEGUN_CLOSING.search(self._rest)
        certain = self._rest[: begun.start()] if begun else self._rest
        self._rest = self._rest[len(certain) :]
        return ("" if self._is_thinking else certain), False

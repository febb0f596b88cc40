"""A rate-limited log of lines that are no messages: of a process's first ones, and then of how many there are."""

import logging

log = logging.getLogger(__name__)

SHOWN = 5  # lines that are logged one by one
SHOWN_BYTES = 200  # of each


class InvalidLineLog:
    """Counts the lines of one process that could not be parsed, and logs them at a bounded rate."""

    def __init__(self, whose: str) -> None:
        self.whose, self.count = whose, 0

    def note(self, why: str, line: bytes = b"") -> None:
        """Count a line; the first are logged, then the count whenever it has doubled."""
        self.count += 1
        if self.count <= SHOWN:
            shown = f": {line[:SHOWN_BYTES]!r}" if line else ""
            log.warning("ignored a line from %s, %s%s", self.whose, why, shown)
        elif self.count & (self.count - 1) == 0:
            log.warning("ignored %d lines from %s by now", self.count, self.whose)

"""Logs that a terminal may show: whatever people wrote cannot move its cursor, fill its clipboard or turn its lines."""

import logging
from pathlib import Path
from types import TracebackType

from storage.text import visible

ErrorInfo = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]


class VisibleFormatter(logging.Formatter):
    """Formats a record on one line, its traceback below, without control and bidi characters."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 (the name of the base class)
        """The line of a record; line breaks in it would look like another record's."""
        return visible(super().formatMessage(record)).replace("\n", "\\n")

    def formatException(self, ei: ErrorInfo) -> str:  # noqa: N802
        """The traceback below it."""
        return visible(super().formatException(ei))


def log_to(file: Path | None, level: int, form: str) -> None:
    """Send the records of this process to a file, or to standard error; the first call counts."""
    handler = logging.FileHandler(file) if file else logging.StreamHandler()
    handler.setFormatter(VisibleFormatter(form))
    logging.basicConfig(level=level, handlers=[handler])

"""Classes of chat errors: outages, permanent refusals, unknown ones, each with a sentence for the person.

Each chat has one table from its codes to error classes, `errors.py` in its connector's folder; nothing else looks at
codes.
"""

from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from math import isnan
from time import time

from bot.delivery.posts import ChatRefused, ChatTrouble, UnknownTrouble
from storage.failures import Failure

RETRY_AFTER_MAX_S = 24 * 3600.0

Raised = type[ChatTrouble] | type[ChatRefused]


@dataclass(frozen=True)
class ErrorClass:
    """The kind of a failure, the exception that it is raised as, and a sentence for who asked, if there is one."""

    failure: Failure
    raises: Raised
    says: str = ""

    def error(self, about: object) -> ChatTrouble | ChatRefused:
        """The exception of this class, with the chat's error."""
        return self.raises(about, self.says)


OUTAGE = ErrorClass(Failure.OUTAGE, ChatTrouble)
UNKNOWN = ErrorClass(Failure.UNKNOWN, UnknownTrouble)


def permanent(raises: Raised, says: str = "") -> ErrorClass:
    """The class of what will not change by itself."""
    return ErrorClass(Failure.PERMANENT, raises, says)


def parse_retry_after(header: str | None) -> float | None:
    """Return the seconds that a Retry-After header tells, as a number or a date (RFC 9110, 10.2.3); None if none.

    They are a day at most, whatever it says.

    >>> [parse_retry_after(header) for header in ("600", "soon", None, "nan", "inf")]
    [600.0, None, None, None, 86400.0]
    """
    try:
        seconds = float(header or "-")
    except ValueError:
        try:
            seconds = parsedate_to_datetime(header or "-").timestamp() - time()
        except (ValueError, OverflowError):
            return None
    # A proxy may answer with a year, after which nobody would remember why the bot is silent.
    return None if isnan(seconds) else min(RETRY_AFTER_MAX_S, max(0.0, seconds))

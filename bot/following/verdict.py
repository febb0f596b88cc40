"""What a chat's error means: whether it passes, what is refused for good, and what the person is told.

Each chat has one table from its codes to verdicts, `bot/slack/errors.py` and `bot/discord/errors.py`; nothing else
looks at codes.
"""

from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from time import time

from bot.following.posts import ChatTrouble, Refused, UnknownTrouble
from storage.failures import Failure

Raised = type[ChatTrouble] | type[Refused]


@dataclass(frozen=True)
class Verdict:
    """The kind of a failure, the exception that it is raised as, and a sentence for who asked, if there is one."""

    failure: Failure
    raises: Raised
    says: str = ""

    def error(self, about: object) -> ChatTrouble | Refused:
        """Return the exception, about what the chat said."""
        return self.raises(about, self.says)


OUTAGE = Verdict(Failure.OUTAGE, ChatTrouble)
UNKNOWN = Verdict(Failure.UNKNOWN, UnknownTrouble)


def permanent(raises: Raised, says: str = "") -> Verdict:
    """Return the verdict of what will not change by itself."""
    return Verdict(Failure.PERMANENT, raises, says)


def seconds_told(header: str | None) -> float | None:
    """Return the seconds that a Retry-After header tells, as a number or a date (RFC 9110, 10.2.3); None if none.

    >>> seconds_told("600"), seconds_told("soon"), seconds_told(None)
    (600.0, None, None)
    """
    try:
        return max(0.0, float(header or "-"))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(header or "-").timestamp() - time())
    except ValueError:
        return None

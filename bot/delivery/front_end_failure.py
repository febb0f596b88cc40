"""Whether a front end (Discord, Slack) that stopped is to connect again.

A module of its own, since it imports aiohttp, which takes a quarter of a second that the terminal need not spend.
"""

import aiohttp
from tenacity import RetryCallState
from tenacity.retry import retry_base

from bot.delivery.posts import BotRefused, ChatError, ChatTrouble, UnknownTrouble
from storage.errors import Damaged, Missing, Newer
from storage.failures import Failure
from storage.service_errors import SERVICE_ERRORS, RetryPolicy, failure_of


class ServeAgain(retry_base):
    """Whether a front end that failed is to serve again; use it as tenacity's `retry`.

    The tables of chat, queue and store decide: outages pass, unknown failures are tolerated for ten minutes, and what
    is refused permanently ends it. A damaged record is one record, and no reason to end at once.
    """

    def __init__(self) -> None:
        self._retry_policy = RetryPolicy()

    def works(self) -> None:
        """Note that it serves."""
        self._retry_policy.succeeded()

    def __call__(self, state: RetryCallState) -> bool:
        """Whether to try again after this attempt."""
        error = state.outcome.exception() if state.outcome else None
        failure = front_end_failure(error) if error else None
        return failure is not None and not self._retry_policy.is_over_after(failure)


def front_end_failure(error: BaseException) -> Failure | None:
    """The kind of failure that stopped a front end; None for a bug, or what has a sentence already."""
    if isinstance(error, UnknownTrouble | BotRefused | Damaged | Newer | Missing):
        return Failure.UNKNOWN
    if isinstance(error, ChatError):
        return Failure.OUTAGE if isinstance(error, ChatTrouble) else Failure.PERMANENT
    if isinstance(error, aiohttp.ClientError):
        return Failure.OUTAGE
    return failure_of(error) if isinstance(error, SERVICE_ERRORS) else None

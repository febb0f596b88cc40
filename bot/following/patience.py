"""Patience with a store or a queue that does not answer: what is asked of them is asked again until they do."""

import logging

from redis.exceptions import RedisError
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, wait_random_exponential

from storage.errors import Damaged, Newer, StoreError

log = logging.getLogger(__name__)

OUTAGES = (StoreError, OSError, RedisError)
PAUSE_S = 10.0  # between two tries at most
AWAY = "The storage or the queue does not answer at the moment. Nothing is lost; trying again."


def _is_outage(error: BaseException) -> bool:
    return isinstance(error, OUTAGES) and not isinstance(error, Damaged | Newer)


def patient(about: str) -> AsyncRetrying:
    """Call a function again for as long as store or queue fail; the log says `about` what, and why.

    Raises Damaged and Newer: a record does not mend while we wait.
    """

    def warn(state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        log.warning("%s: %s; again in %.1f s", about, error, state.upcoming_sleep)

    waiting = wait_random_exponential(0.5, PAUSE_S)
    return AsyncRetrying(retry=retry_if_exception(_is_outage), wait=waiting, before_sleep=warn)

"""Retries of what a store or a queue does not do, by the kinds of failure.

What is asked of store and queue for an accepted job is asked until they do it.

An accepted job is never given up here, since whoever runs the bot may mend even what refuses for good. But people read
what is so, and the log says it as an error.
"""

import logging
from math import inf

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_before_delay, wait_random_exponential

from storage.errors import Damaged, Missing, Newer
from storage.failures import Failure
from storage.service_errors import SERVICE_ERRORS, failure_of, reason_of

log = logging.getLogger(__name__)

OUTAGES = SERVICE_ERRORS
PAUSE_S = 10.0  # between two tries at most
AWAY = "The storage or the queue does not answer at the moment. Nothing is lost; trying again."
REFUSED = (
    "The storage or the queue refuses what I need. Nothing is lost, and it continues once whoever runs this bot has "
    "fixed that; my log has the reason."
)
STRANGE = "Something is wrong with the storage or the queue. Nothing is lost; trying again."
SENTENCES = {Failure.OUTAGE: AWAY, Failure.PERMANENT: REFUSED, Failure.UNKNOWN: STRANGE}


def sentence_of(error: BaseException) -> str:
    """What people read while an accepted job waits for this failure to be over."""
    return SENTENCES[failure_of(error)]


def retrying(about: str, longest_s: float = inf) -> AsyncRetrying:
    """Call a function again while store or queue fail, but not for longer; the log says `about` what, and why.

    Raises Missing, Damaged and Newer at once: a record does not mend while we wait.
    """

    def passes(error: BaseException) -> bool:
        # These three are answers of a store that works, and stay the same however often it is asked.
        return isinstance(error, SERVICE_ERRORS) and not isinstance(error, Missing | Damaged | Newer)

    def warn(state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        if error:
            level = logging.WARNING if failure_of(error) is Failure.OUTAGE else logging.ERROR
            log.log(level, "%s: %s Again in %.1f s", about, reason_of(error), state.upcoming_sleep)

    waiting = wait_random_exponential(0.5, PAUSE_S)
    stop, fails = stop_before_delay(longest_s), retry_if_exception(passes)
    return AsyncRetrying(retry=fails, wait=waiting, stop=stop, before_sleep=warn, reraise=True)

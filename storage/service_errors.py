"""What a failure of the queue (Redis) or of the object store means for whoever used it: one place decides for all.

`storage.queue.redis_errors`, `storage.objects.s3_errors` and `storage.objects.folder_errors` have the tables.
"""

import time

from storage.errors import SetupError, StoreError
from storage.failures import Failure
from storage.queue.redis_errors import ERRORS, meaning_of

SERVICE_ERRORS = (StoreError, *ERRORS)  # whatever queue and store raise; a TimeoutError is an OSError
UNKNOWN_S = 600.0  # trouble of unknown kind is waited out for so long


def failure_of(error: BaseException) -> Failure:
    """The kind of failure that one of SERVICE_ERRORS is."""
    return error.failure if isinstance(error, StoreError) else meaning_of(error).failure


def reason_of(error: BaseException) -> str:
    """The reason of one of SERVICE_ERRORS, without keys, values or secrets; never empty."""
    return str(error) if isinstance(error, StoreError) else f"Redis cannot be used: {meaning_of(error).reason}."


class RetryPolicy:
    """A retry policy for a service that fails: an outage is retried for ever, an unknown failure for a while."""

    def __init__(self, unknown_s: float = UNKNOWN_S) -> None:
        self.unknown_s = unknown_s
        self._unknown_since_s: float | None = None

    def succeeded(self) -> None:
        """Note that the service works."""
        self._unknown_since_s = None

    def is_over(self, error: BaseException) -> bool:
        """Whether there is no use in trying again after this error."""
        return self.is_over_after(failure_of(error))

    def is_over_after(self, failure: Failure) -> bool:
        """Whether there is no use in trying again after a failure of this kind, of this service or another."""
        now_s = time.monotonic()
        if failure is Failure.OUTAGE:
            self._unknown_since_s = None
        elif failure is Failure.UNKNOWN and self._unknown_since_s is None:
            self._unknown_since_s = now_s
        unknown_s = now_s - (self._unknown_since_s or now_s)
        return failure is Failure.PERMANENT or unknown_s > self.unknown_s

    def failed(self, error: BaseException) -> None:
        """Return if it is worth trying again; raises SetupError with the reason if it is not."""
        if self.is_over(error):
            raise SetupError(reason_of(error)) from error

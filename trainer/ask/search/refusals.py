"""What it means when a search provider refuses: one table for all providers and for the engines behind SearXNG."""

import aiohttp

from storage.failures import Failure

OUTAGE, PERMANENT, UNKNOWN = Failure.OUTAGE, Failure.PERMANENT, Failure.UNKNOWN

STATUSES: dict[int, tuple[Failure, str]] = {
    400: (PERMANENT, "it does not take this search"),
    401: (PERMANENT, "its key was refused"),
    402: (PERMANENT, "its credit is used up"),
    403: (PERMANENT, "it refused access; SearXNG does if `json` is not among the formats of its settings"),
    404: (PERMANENT, "there is no search at that address"),
    414: (PERMANENT, "it does not take so long a search"),
    422: (PERMANENT, "it does not take this search, or its key was refused"),
    408: (OUTAGE, "it took too long"),
    429: (OUTAGE, "too many requests"),
}
OF_QUERY = (400, 414, 422)
ENGINE_REASONS: dict[str, str] = {  # SearXNG's words (searx/webutils.py) to people's
    "captcha": "it wants a CAPTCHA solved",
    "too many requests": "too many requests",
    "access denied": "access denied",
    "timeout": "it took too long",
    "suspended": "it is suspended after errors",
    "proxy": "its proxy failed",
    "parsing": "its answer was not understood",
    "network": "it was not reached",
    "http": "it answered with an error",
    "ssl": "its certificate is not trusted",
    "server api": "it answered with an error",
    "crash": "its answer was not understood",
}


class SearchError(Exception):
    """A provider gave no results; `reason` is to be read after its name and a colon."""

    def __init__(self, reason: str, failure: Failure, of_query: bool = False) -> None:
        """`of_query`: it is about this search alone, and the next one may be answered."""
        super().__init__(reason)
        self.reason, self.failure, self.of_query = reason, failure, of_query


def refusal_of_status(status: int) -> SearchError:
    """What an HTTP status means."""
    failure, reason = STATUSES.get(status, (UNKNOWN, f"it answered with status {status}"))
    if status >= 500:
        failure, reason = OUTAGE, f"it answered with status {status}"
    return SearchError(reason, failure, of_query=status in OF_QUERY)


def refusal_of(error: BaseException) -> SearchError:
    """What an exception on the way to a provider means."""
    if isinstance(error, TimeoutError):
        return SearchError("it took too long", OUTAGE)
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return SearchError("its certificate is not trusted", PERMANENT)
    if isinstance(error, aiohttp.InvalidURL):
        return SearchError("its address is not valid", PERMANENT)
    if isinstance(error, aiohttp.ClientConnectionError | OSError):
        return SearchError("it was not reached", OUTAGE)
    return SearchError("what answers there does not speak its protocol", UNKNOWN)


def engine_reason(words: str) -> str:
    """Why an engine behind SearXNG did not answer; words that are in no table are not repeated."""
    lower = words.lower()
    return next((reason for word, reason in ENGINE_REASONS.items() if word in lower), "it gave no reason that is known")

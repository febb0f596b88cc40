"""What a failure of a language model's endpoint means: one table for status codes, error codes and exceptions.

Codes are OpenAI's (https://platform.openai.com/docs/guides/error-codes) and OpenRouter's, which has 402 and 408 too.
"""

from typing import NamedTuple

from storage.errors import DarkroomError
from storage.failures import Failure

OUTAGE, PERMANENT, UNKNOWN = Failure.OUTAGE, Failure.PERMANENT, Failure.UNKNOWN


class ModelErrorMeaning(NamedTuple):
    """Which kind of failure it is, and a reason that follows "The language model …", without keys or text in it."""

    failure: Failure
    reason: str


KEY_REFUSED = ModelErrorMeaning(PERMANENT, "refuses the API key")
NO_CREDIT = ModelErrorMeaning(PERMANENT, "has no credit left for this API key")
MODEL_GONE = ModelErrorMeaning(PERMANENT, "does not have the model of that name")
TOO_LONG = ModelErrorMeaning(PERMANENT, "cannot take so much text at once")
RATE_LIMITED = ModelErrorMeaning(OUTAGE, "takes no more requests for now (429)")
BROKE_OFF = ModelErrorMeaning(OUTAGE, "broke off in the middle of its answer")
UNREACHABLE = ModelErrorMeaning(OUTAGE, "cannot be reached")
SILENT = ModelErrorMeaning(OUTAGE, "did not answer in time")
UNEXPLAINED = ModelErrorMeaning(UNKNOWN, "answered with an error")
GARBLED = ModelErrorMeaning(UNKNOWN, "sent something that is no answer")
EMPTY = ModelErrorMeaning(UNKNOWN, "sent an empty answer")
DECLINED = ModelErrorMeaning(UNKNOWN, "found no answer in the sources")
FILTERED = ModelErrorMeaning(PERMANENT, "declined to answer (content filter)")

CODES = {  # of the error object; they tell more than the status
    "invalid_api_key": KEY_REFUSED,
    "insufficient_quota": NO_CREDIT,
    "billing_hard_limit_reached": NO_CREDIT,
    "model_not_found": MODEL_GONE,
    "context_length_exceeded": TOO_LONG,
    "exceed_context_size_error": TOO_LONG,
    "string_above_max_length": TOO_LONG,
    "rate_limit_exceeded": RATE_LIMITED,
    "content_filter": FILTERED,
}
STATUSES = {
    401: KEY_REFUSED,
    402: NO_CREDIT,
    403: ModelErrorMeaning(PERMANENT, "does not allow this API key what was asked for (403)"),
    404: MODEL_GONE,
    408: SILENT,
    409: ModelErrorMeaning(OUTAGE, "is busy (409)"),
    410: MODEL_GONE,
    413: TOO_LONG,
    425: ModelErrorMeaning(OUTAGE, "is not ready yet (425)"),
    429: RATE_LIMITED,
}
# of messages with status 400 about a prompt that is too long, where servers have no code
TOO_LONG_PHRASES = ("context length", "context window", "context size", "too many tokens", "prompt is too long")


class ModelError(DarkroomError):
    """The language model's endpoint failed; `meaning` says what that means."""

    def __init__(self, meaning: ModelErrorMeaning) -> None:
        super().__init__(f"The language model {meaning.reason}.")
        self.meaning = meaning

    @property
    def failure(self) -> Failure:
        """Whether waiting helps."""
        return self.meaning.failure


def meaning_of(error: Exception, has_begun: bool = False) -> ModelErrorMeaning:
    """Tell what an exception of the `openai` client means; `has_begun`: while an answer was coming."""
    import openai  # which takes a second to import: not every process that knows this table needs it

    if isinstance(error, openai.APIStatusError):
        return _of_status(error.status_code, error.code, error.message)
    if isinstance(error, openai.APIConnectionError):
        quiet = SILENT if isinstance(error, openai.APITimeoutError) else UNREACHABLE
        return BROKE_OFF if has_begun else quiet
    if isinstance(error, openai.APIError):  # an error object in the stream, or in place of it
        code = error.code or ""
        known = _of_status(int(code), None, error.message) if code.isdigit() else CODES.get(code)
        return known or (BROKE_OFF if has_begun else _of_message(error.message) or UNEXPLAINED)
    return BROKE_OFF if has_begun else GARBLED


def _of_status(status: int, code: str | None, message: str) -> ModelErrorMeaning:
    known = CODES.get(code or "") or (_of_message(message) if status in (400, 422, 500) else None)
    known = known or STATUSES.get(status)
    if known:
        return known
    failure = OUTAGE if status >= 500 else PERMANENT if 400 <= status < 500 else UNKNOWN
    return ModelErrorMeaning(failure, f"answered with an error ({status})")


def _of_message(message: str) -> ModelErrorMeaning | None:
    lowered = message.lower()
    return TOO_LONG if any(phrase in lowered for phrase in TOO_LONG_PHRASES) else None

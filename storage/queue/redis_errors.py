"""What an error of Redis means: which kind of failure it is, and a reason without any keys or values in it.

The table is `redis_errors.toml`.
"""

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from redis import exceptions
from redis.exceptions import ConnectionError, RedisError, ResponseError, TimeoutError

from storage.data_files import read_toml
from storage.failures import Failure

log = logging.getLogger(__name__)

OUTAGE, UNKNOWN = Failure.OUTAGE, Failure.UNKNOWN


class RedisErrorMeaning(NamedTuple):
    """What an error means, and why it came, to be read after "Redis …: "."""

    failure: Failure
    reason: str
    reached: bool = True  # whether Redis was reached at all


class RedisErrorTable:
    """What errors of Redis mean, by the server's code, by a phrase of its answer, and by redis-py's exception."""

    def __init__(self) -> None:
        self.codes: dict[str, RedisErrorMeaning] = {}
        self.phrases: dict[str, RedisErrorMeaning] = {}
        self.replies: dict[str, RedisErrorMeaning] = {}  # phrases that count in an answer of the server's alone
        self.exceptions: dict[type[Exception], RedisErrorMeaning] = {}
        for row in read_toml("storage.queue", "redis_errors.toml")["meaning"]:
            meaning = RedisErrorMeaning(Failure(row["failure"]), row["reason"], row.get("reached", True))
            self.codes |= dict.fromkeys(row.get("codes", ()), meaning)
            self.phrases |= dict.fromkeys(row.get("phrases", ()), meaning)
            self.replies |= dict.fromkeys(row.get("replies", ()), meaning)
            self.exceptions |= dict.fromkeys((getattr(exceptions, name) for name in row.get("exceptions", ())), meaning)

    def meaning(self, error: BaseException, text: str) -> RedisErrorMeaning | None:
        """The meaning of an error with the server's text; None if it is in no table."""
        if meaning := self.codes.get(text.split(" ", 1)[0]):
            return meaning
        phrases = self.phrases | (self.replies if isinstance(error, ResponseError) else {})
        if meaning := next((meaning for phrase, meaning in phrases.items() if phrase in text.lower()), None):
            return meaning
        return next((meaning for kind, meaning in self.exceptions.items() if isinstance(error, kind)), None)


TABLE = RedisErrorTable()
PIPELINED = re.compile(r"Command # \d+ .* of pipeline caused error: \(['\"](.*)['\"],?\)", re.DOTALL)
IN_SCRIPT = re.compile(r"ERR Error (?:running|compiling) script .*? -?([A-Z]{3,} .*)", re.DOTALL)  # Redis before 7
SAFE_DETAIL = re.compile(r"unknown (?:sub)?command ['`]?[\w|]+['`]?|the '[\w|]+' command|(?:a|the) (?:key|channel)s?\b")


def meaning_of(error: BaseException) -> RedisErrorMeaning:
    """Classify an error of Redis, or of the way to it, by the tables."""
    while type(error) is ConnectionError and isinstance(error.__cause__, RedisError):
        error = error.__cause__  # redis-py wraps what happens while it connects
    text = server_text(error)
    if known := TABLE.meaning(error, text):
        return known._replace(reason=_with_detail(known.reason, text))
    code = text.split(" ", 1)[0]
    if isinstance(error, ResponseError):
        return RedisErrorMeaning(UNKNOWN, f"it answered {code}" if code.isupper() else "it answered with an error")
    if isinstance(error, ConnectionError | TimeoutError | OSError):
        return RedisErrorMeaning(OUTAGE, "it does not answer", False)
    return RedisErrorMeaning(UNKNOWN, f"of {type(error).__name__}")


def server_text(error: BaseException) -> str:
    """The server's own error text: without what redis-py adds in pipelines, and without where in a script it was."""
    text = str(error)
    match = PIPELINED.fullmatch(text)
    text = match[1] if match else text
    match = IN_SCRIPT.match(text if text.startswith("ERR ") else f"ERR {text}")
    return match[1] if match else text


def _with_detail(reason: str, text: str) -> str:
    """The reason with the server's detail, if that is a command's name and not a key or a value."""
    match = SAFE_DETAIL.search(text)
    return reason.replace("DETAIL", match[0]) if match else reason.removesuffix(": DETAIL")


ERRORS = (RedisError, OSError)  # whatever is raised while Redis is used; a TimeoutError is an OSError


@contextmanager
def best_effort(what: str) -> Iterator[None]:
    """Ignore failures of Redis in the block, with `what` as the consequence. Only outages are not logged."""
    try:
        yield
    except ERRORS as error:
        meaning = meaning_of(error)
        level = logging.DEBUG if meaning.failure is OUTAGE else logging.WARNING
        log.log(level, "Redis failed, so %s: %s", what, meaning.reason)

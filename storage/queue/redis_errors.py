"""What an error of Redis means: which kind of failure it is, and a reason without any keys or values in it.

Codes are the first word of the server's answer (https://valkey.io/topics/protocol/#simple-errors); redis-py has classes
of its own for some of them, and takes the code off.
"""

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from redis.exceptions import (
    AuthenticationError,
    AuthenticationWrongNumberOfArgsError,
    AuthorizationError,
    BusyLoadingError,
    ConnectionError,
    DataError,
    ExecAbortError,
    InvalidResponse,
    LockError,
    MaxConnectionsError,
    NoPermissionError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
    TimeoutError,
    WatchError,
)

from storage.failures import Failure

log = logging.getLogger(__name__)

OUTAGE, PERMANENT, UNKNOWN = Failure.OUTAGE, Failure.PERMANENT, Failure.UNKNOWN
READ_ONLY = "it is a replica, which takes no writes; after a failover another server is the primary"
FULL = "its memory is full (maxmemory is reached); more memory is needed, or fewer keys of others"
FAILOVER = "a failover is going on"
QUOTA = "the limit of requests of its provider is used up"
CLUSTER = "it is a node of a Redis Cluster, which spreads keys over several; a Redis without cluster is needed"
NO_ENTRY = "it does not let us in with the user and password of REDIS_URL"


class RedisErrorMeaning(NamedTuple):
    """What an error means, and why it came, to be read after "Redis …: "."""

    failure: Failure
    reason: str
    reached: bool = True  # whether Redis was reached at all


CLASSES: dict[type[Exception], RedisErrorMeaning] = {  # the first that fits
    ReadOnlyError: RedisErrorMeaning(OUTAGE, READ_ONLY),
    OutOfMemoryError: RedisErrorMeaning(OUTAGE, FULL),
    BusyLoadingError: RedisErrorMeaning(OUTAGE, "it is still loading its data"),
    NoPermissionError: RedisErrorMeaning(PERMANENT, "its access control list forbids it: DETAIL"),
    AuthenticationWrongNumberOfArgsError: RedisErrorMeaning(PERMANENT, NO_ENTRY),
    AuthenticationError: RedisErrorMeaning(PERMANENT, f"{NO_ENTRY}: DETAIL"),
    AuthorizationError: RedisErrorMeaning(PERMANENT, NO_ENTRY),
    NoScriptError: RedisErrorMeaning(OUTAGE, "it has forgotten a script"),
    ExecAbortError: RedisErrorMeaning(OUTAGE, "it gave up a transaction"),
    LockError: RedisErrorMeaning(OUTAGE, "a lock is lost"),
    WatchError: RedisErrorMeaning(OUTAGE, "somebody else changed a key meanwhile"),
    MaxConnectionsError: RedisErrorMeaning(OUTAGE, "all connections of this process are in use"),
    InvalidResponse: RedisErrorMeaning(UNKNOWN, "what answers there does not speak Redis's protocol"),
    DataError: RedisErrorMeaning(PERMANENT, "a value cannot be sent"),
}
CODES: dict[str, RedisErrorMeaning] = {
    "READONLY": RedisErrorMeaning(OUTAGE, READ_ONLY),
    "OOM": RedisErrorMeaning(OUTAGE, FULL),
    "MISCONF": RedisErrorMeaning(OUTAGE, "it cannot save its data to disk, and takes no writes until it can"),
    "NOREPLICAS": RedisErrorMeaning(OUTAGE, "it has too few replicas, and takes no writes until it has more"),
    "MASTERDOWN": RedisErrorMeaning(OUTAGE, "it is a replica that has lost its primary"),
    "LOADING": RedisErrorMeaning(OUTAGE, "it is still loading its data"),
    "BUSY": RedisErrorMeaning(OUTAGE, "a script keeps it busy"),
    "TRYAGAIN": RedisErrorMeaning(OUTAGE, "it is moving keys"),
    "UNBLOCKED": RedisErrorMeaning(OUTAGE, "its role has changed"),
    **dict.fromkeys(("INPROG", "REDIRECT"), RedisErrorMeaning(OUTAGE, FAILOVER)),
    "MOVED": RedisErrorMeaning(PERMANENT, CLUSTER),
    "ASK": RedisErrorMeaning(PERMANENT, CLUSTER),
    "CROSSSLOT": RedisErrorMeaning(PERMANENT, CLUSTER),
    "CLUSTERDOWN": RedisErrorMeaning(PERMANENT, CLUSTER),
    "DENIED": RedisErrorMeaning(
        PERMANENT, "it is in protected mode, and lets in its own machine alone until it has a password"
    ),
    "NOPROTO": RedisErrorMeaning(PERMANENT, "it does not speak the version of the protocol that REDIS_URL asks for"),
    "NOAUTH": RedisErrorMeaning(PERMANENT, f"{NO_ENTRY}: it wants a password"),
    "WRONGPASS": RedisErrorMeaning(PERMANENT, NO_ENTRY),
    "NOPERM": RedisErrorMeaning(PERMANENT, "its access control list forbids it: DETAIL"),
    "WRONGTYPE": RedisErrorMeaning(
        PERMANENT, "one of our keys holds something else; DARKROOM_REDIS_PREFIX keeps programs apart"
    ),
}
PHRASES: dict[str, RedisErrorMeaning] = {  # of answers whose code is only ERR
    "unknown command": RedisErrorMeaning(PERMANENT, "it is too old, or the command is disabled: DETAIL"),
    "unknown redis command": RedisErrorMeaning(
        PERMANENT, "it is too old, or a command that a script calls is disabled"
    ),
    "unknown subcommand": RedisErrorMeaning(PERMANENT, "it is too old, or the command is disabled: DETAIL"),
    "syntax error": RedisErrorMeaning(PERMANENT, "it may be too old: it does not know an option of a command"),
    "db index is out of range": RedisErrorMeaning(PERMANENT, "it has no database of the number in REDIS_URL"),
    "select is not allowed in cluster mode": RedisErrorMeaning(PERMANENT, CLUSTER),
    "invalid db index": RedisErrorMeaning(PERMANENT, "it has no database of the number in REDIS_URL"),
    "authentication required": RedisErrorMeaning(PERMANENT, f"{NO_ENTRY}: it wants a password"),
    "invalid username-password": RedisErrorMeaning(PERMANENT, NO_ENTRY),
    "invalid password": RedisErrorMeaning(PERMANENT, NO_ENTRY),
    "password configured": RedisErrorMeaning(PERMANENT, "REDIS_URL has a password, but it has none set"),
    "no password is set": RedisErrorMeaning(PERMANENT, "REDIS_URL has a password, but it has none set"),
    "operation not permitted": RedisErrorMeaning(PERMANENT, f"{NO_ENTRY}: it wants a password"),
    **dict.fromkeys(("cross slots", "non local key"), RedisErrorMeaning(PERMANENT, CLUSTER)),
    **dict.fromkeys(("request limit exceeded", "requests limit exceeded"), RedisErrorMeaning(OUTAGE, QUOTA)),
    "max concurrent connections": RedisErrorMeaning(OUTAGE, "its provider allows no more connections"),
    "failover in progress": RedisErrorMeaning(OUTAGE, FAILOVER),
    "shutting down": RedisErrorMeaning(OUTAGE, "it is shutting down"),
    "max number of clients": RedisErrorMeaning(OUTAGE, "it allows no more connections (maxclients)"),
    "can't access key": RedisErrorMeaning(PERMANENT, "its access control list forbids a key that a script uses"),
    "acl failure": RedisErrorMeaning(PERMANENT, "its access control list forbids what a script does"),
    "no such file": RedisErrorMeaning(OUTAGE, "there is no such socket", False),
    "connect call failed": RedisErrorMeaning(OUTAGE, "nothing listens there", False),
    "no master found": RedisErrorMeaning(OUTAGE, "no Sentinel knows a primary of that name", False),
    "name or service not known": RedisErrorMeaning(OUTAGE, "its host name is not known", False),
    "certificate has expired": RedisErrorMeaning(PERMANENT, "its certificate has expired"),
    "certificate verify failed": RedisErrorMeaning(PERMANENT, "its certificate is not trusted here"),
    "certificate required": RedisErrorMeaning(PERMANENT, "it wants a certificate of us"),
    "wrong version number": RedisErrorMeaning(PERMANENT, "it does not speak TLS at that port"),
    "[ssl:": RedisErrorMeaning(UNKNOWN, "no secure connection can be made"),
    "connection closed by server": RedisErrorMeaning(OUTAGE, "it closed the connection"),
    "connection refused": RedisErrorMeaning(OUTAGE, "nothing listens there", False),
}
PIPELINED = re.compile(r"Command # \d+ .* of pipeline caused error: \(['\"](.*)['\"],?\)", re.DOTALL)
IN_SCRIPT = re.compile(r"ERR Error (?:running|compiling) script .*? -?([A-Z]{3,} .*)", re.DOTALL)  # Redis before 7
SAFE_DETAIL = re.compile(r"unknown (?:sub)?command ['`]?[\w|]+['`]?|the '[\w|]+' command|(?:a|the) (?:key|channel)s?\b")


def meaning_of(error: BaseException) -> RedisErrorMeaning:
    """Classify an error of Redis, or of the way to it, by the tables."""
    while type(error) is ConnectionError and isinstance(error.__cause__, RedisError):
        error = error.__cause__  # redis-py wraps what happens while it connects
    text = server_text(error)
    code = text.split(" ", 1)[0]
    known = CODES.get(code) or next((m for phrase, m in PHRASES.items() if phrase in text.lower()), None)
    known = known or next((meaning for kind, meaning in CLASSES.items() if isinstance(error, kind)), None)
    if known:
        return known._replace(reason=_with_detail(known.reason, text))
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

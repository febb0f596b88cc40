"""What REDIS_URL says: one server by TCP, TLS or socket file, or the Sentinels that know which server is primary.

    redis://[user[:password]@]host[:port][/database][?option=value&…]      rediss:// is the same by TLS
    valkey:// and valkeys:// are the same two
    unix://[user[:password]@]/path/to/socket[?db=0]
    redis-sentinel://[user[:password]@]host[:port][,host[:port]…][/database][/primary]      rediss-sentinel:// by TLS

After RFC 3986 the characters `# / ? @ %` of a password are percent-encoded. As people forget that, what can be meant in
one way only is read so.
"""

import re
from typing import Any, NamedTuple
from urllib.parse import unquote

from storage.errors import SetupError

PORT, SENTINEL_PORT = 6379, 26379
PRIMARY = "mymaster"  # Sentinel's own default name
TCP, SENTINEL = {"redis", "rediss"}, {"redis-sentinel", "rediss-sentinel", "redis+sentinel"}
VALKEY = {"valkey": "redis", "valkeys": "rediss"}
CLUSTER = {"redis-cluster", "rediss-cluster", "redis+cluster", "valkey-cluster"}
SCHEMES = "redis://, rediss://, unix://, redis-sentinel:// or rediss-sentinel://"
ENCODED = "In a password the characters # / ? @ % are written %23 %2F %3F %40 %25"
HOST = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^\s\[\]:/?#@,%]+)?(:(?P<port>\d{1,5}))?")
OPTIONS: dict[str, type] = {
    "db": int,
    "username": str,
    "password": str,
    "client_name": str,
    "protocol": int,
    "socket_timeout": float,
    "socket_connect_timeout": float,
    "health_check_interval": float,
    "max_connections": int,
    "timeout": float,
    "socket_keepalive": bool,
    "retry_on_timeout": bool,
}
TLS_OPTIONS = dict.fromkeys(
    ("ssl_cert_reqs", "ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile", "ssl_keyfile_password"), str
) | {"ssl_check_hostname": bool}
SENTINEL_OPTIONS = dict.fromkeys(("primary", "sentinel_username", "sentinel_password"), str)
SYNONYMS = {"master": "primary", "sentinelMasterId": "primary", "service_name": "primary"}
BOOLEANS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


class RedisAddress(NamedTuple):
    """Where Redis is and how it lets us in; `options` are those of redis-py's connections."""

    hosts: list[tuple[str, int]]  # the Sentinels, or the one server; none for a socket file
    options: dict[str, Any]
    tls: bool = False
    primary: str = ""  # the name by which Sentinels know it; empty without Sentinel
    sentinel_options: dict[str, str] = {}


class _InvalidUrl(ValueError):
    """A reading of the URL that does not work; the message says why."""


def parse_redis_url(url: str) -> RedisAddress:
    """Read a REDIS_URL; raises SetupError in a sentence that repeats nothing secret."""
    scheme, separator, rest = url.strip().partition("://")
    scheme = VALKEY.get(scheme.lower(), scheme.lower())
    if separator and scheme in CLUSTER:
        raise SetupError(
            "REDIS_URL is that of a Redis Cluster, which spreads keys over several: one without is needed."
        )
    if not separator or scheme not in {*TCP, *SENTINEL, "unix"}:
        raise SetupError(f"REDIS_URL has to begin with {SCHEMES}.")
    first: _InvalidUrl | None = None
    for user, place in _readings(rest):
        try:
            return _read(scheme, user, place)
        except _InvalidUrl as error:
            first = first or error
    raise SetupError(f"REDIS_URL cannot be read: {first}.")


def _readings(rest: str) -> list[tuple[str, str]]:
    """User and host: by the standard first; then with the password up to the last @, if it has forbidden characters."""
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    user, _, host = authority.rpartition("@")
    standard = user, host + rest[len(authority) :]
    loose_user, at, loose_place = rest.rpartition("@")
    return [standard, (loose_user, loose_place)] if at and loose_user != user else [standard]


def _read(scheme: str, user: str, place: str) -> RedisAddress:
    place, _, fragment = place.partition("#")
    where, _, query = place.partition("?")
    authority, _, path = where.partition("/")
    known = OPTIONS | (TLS_OPTIONS if scheme.startswith("rediss") else {})
    options = _options(query, known | (SENTINEL_OPTIONS if scheme in SENTINEL else {}))
    name, _, password = user.partition(":")
    given = {"username": unquote(name), "password": unquote(password)}
    options = {key: value for key, value in given.items() if value} | options
    if scheme == "unix":
        if fragment or authority:
            raise _InvalidUrl("unix:// is followed by a path, as in unix:///run/redis.sock")
        return RedisAddress([], {**options, "path": unquote(f"/{path}")})
    sentinel = scheme in SENTINEL
    if fragment and not sentinel:
        raise _InvalidUrl(ENCODED)
    hosts = [_host(part, SENTINEL_PORT if sentinel else PORT) for part in authority.split(",")]
    if len(hosts) > 1 and not sentinel:
        raise _InvalidUrl("several hosts need redis-sentinel://")
    primary = options.pop("primary", "") or unquote(fragment)
    options, in_path = _with_path(path, options, sentinel)
    theirs = {key.removeprefix("sentinel_"): options.pop(key) for key in SENTINEL_OPTIONS if key in options}
    return RedisAddress(
        hosts,
        options,
        tls=scheme.startswith("rediss"),
        primary=(primary or in_path or PRIMARY) if sentinel else "",
        sentinel_options=theirs,
    )


def _with_path(path: str, options: dict[str, Any], sentinel: bool) -> tuple[dict[str, Any], str]:
    """The options with the database that the path names, and the name of the primary in it."""
    parts = [part for part in path.split("/") if part]
    numbers, names = [part for part in parts if part.isdecimal()], [part for part in parts if not part.isdecimal()]
    if len(numbers) > 1 or len(names) > (1 if sentinel else 0):
        raise _InvalidUrl(f"after the host comes the number of a database, as in redis://host:6379/0. {ENCODED}")
    database = {"db": int(numbers[0])} if numbers else {}
    return database | options, unquote(names[0]) if names else ""


def _host(part: str, port: int) -> tuple[str, int]:
    match = HOST.fullmatch(part)
    if not match or int(match["port"] or port) > 65535:
        raise _InvalidUrl(f"a host and a port are expected, as in redis://host:6379. {ENCODED}")
    return (match["host"] or "localhost").strip("[]"), int(match["port"] or port)


def _options(query: str, known: dict[str, type]) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for part in filter(None, query.split("&")):
        name, _, text = part.partition("=")
        name = SYNONYMS.get(name, name)
        if name not in known:
            is_safe = "@" not in query and re.fullmatch(r"\w{1,30}", name)  # it may be a part of a password
            shown = f"the option {name}" if is_safe else "an option"
            raise _InvalidUrl(f"there is {shown} that is not known here; {', '.join(sorted(known))} are. {ENCODED}")
        options[name] = _value(name, unquote(text), known[name])
    return options


def _value(name: str, text: str, kind: type) -> Any:
    try:
        return BOOLEANS[text.lower()] if kind is bool else kind(text)
    except (KeyError, ValueError):
        raise _InvalidUrl(f"the option {name} has a value that does not fit") from None


def without_secrets(url: str) -> str:
    """Where a URL leads, without what lets one in there: for messages, logs and lists.

    >>> without_secrets("redis://bot:hunter2@queue.example:6379/0?password=hunter2")
    'redis://queue.example:6379/0'
    """
    scheme, _, rest = url.partition("://")
    place, _, query = rest.partition("?")
    if "@" in query:  # perhaps a password with a question mark in it
        return f"{scheme}://…"
    return f"{scheme}://{place.rpartition('@')[2]}"

"""Ids of jobs, subjects and messages: sortable by time, safe in object names."""

import re
import secrets
import time

ID = re.compile(r"[0-9a-f]{20}")


def new_id() -> str:
    """Return a fresh id of 20 hexadecimal digits: milliseconds since 1970, then chance."""
    return f"{time.time_ns() // 1_000_000:012x}{secrets.token_hex(4)}"


def is_id(text: str) -> bool:
    """Tell whether `text` has the form of an id; whatever comes from outside is checked with this."""
    return ID.fullmatch(text) is not None


def made_s(id_: str) -> float:
    """When an id was made, in seconds since 1970 by the clock of who made it."""
    return int(id_[:12], 16) / 1000


def id_at(time_s: float) -> str:
    """The first id of a moment, in seconds since 1970: no id that was made before sorts after it."""
    return f"{max(0, int(time_s * 1000)):012x}{'0' * 8}"

"""Ids of jobs, subjects and messages: sortable by time, safe in object names.

They sort in the order in which they were made, also when the system's clock goes back: each is later than all before it
that this process has made or seen (a hybrid logical clock, Kulkarni et al. 2014).
"""

import re
import secrets
import threading
import time
from collections.abc import Callable

ID = re.compile(r"[0-9a-f]{20}")
AHEAD_MAX_S = 7 * 24 * 3600  # ids from further ahead are those of a clock that was wrong, and are not followed


class IdClock:
    """Milliseconds since 1970 that never go back."""

    def __init__(self, now_s: Callable[[], float] = time.time) -> None:
        self._now_s, self._lock, self._newest_ms = now_s, threading.Lock(), 0

    def tick(self) -> int:
        """A moment after all before, unless the system's clock was far ahead and is right again."""
        with self._lock:
            now_ms = int(self._now_s() * 1000)
            ahead = self._newest_ms - now_ms > AHEAD_MAX_S * 1000
            self._newest_ms = now_ms if ahead else max(now_ms, self._newest_ms + 1)
            return self._newest_ms

    def new_id(self) -> str:
        """A fresh id, later than all before."""
        return f"{self.tick():012x}{secrets.token_hex(4)}"

    def see(self, id_: str) -> None:
        """Advance the clock past an id that another process may have made: all ids from now on are later."""
        seen_ms = int(id_[:12], 16)
        if seen_ms < (self._now_s() + AHEAD_MAX_S) * 1000:
            with self._lock:
                self._newest_ms = max(self._newest_ms, seen_ms)


CLOCK = IdClock()


def new_id() -> str:
    """Return a fresh id of 20 hexadecimal digits: milliseconds since 1970, then chance."""
    return CLOCK.new_id()


def ordered_s() -> float:
    """The time in seconds since 1970, after every id and time that this gave before: for order, not for lengths."""
    return CLOCK.tick() / 1000


def is_id(text: str) -> bool:
    """Tell whether `text` has the form of an id; whatever comes from outside is checked with this."""
    return ID.fullmatch(text) is not None


def made_s(id_: str) -> float:
    """When an id was made, in seconds since 1970 by the clock of who made it."""
    return int(id_[:12], 16) / 1000


def id_at(time_s: float) -> str:
    """The first id of a moment, in seconds since 1970: no id that was made before sorts after it."""
    return f"{max(0, int(time_s * 1000)):012x}{'0' * 8}"

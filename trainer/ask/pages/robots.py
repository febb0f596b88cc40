"""robots.txt (RFC 9309): which pages a site lets be read by us."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import NamedTuple
from urllib.parse import urlsplit
from weakref import WeakValueDictionary

from protego import Protego

from trainer.ask.pages.errors import AddressRefused, PageRefused

ROBOT_NAME = "DarkroomBot"
MAX_BYTES = 500 * 1024  # as much as RFC 9309 asks to be read
KEPT_S, OUTAGE_KEPT_S = 3600.0, 60.0  # a site that fails is asked again soon
WORK_MAX = 2_000_000  # robots times lines: Protego keeps each rule once for each robot that is named above it
SITES_MAX = 1000

Fetch = Callable[[str, int], Awaitable[tuple[int, bytes]]]  # a URL and the bytes at most; a status and a body


class _Rules(NamedTuple):
    allows: Callable[[str], bool]
    until_s: float


class RobotsCache:
    """Rules of sites, fetched once when they are needed first, and kept for an hour."""

    def __init__(self, fetch: Fetch) -> None:
        self._fetch = fetch
        self._rules: OrderedDict[str, _Rules] = OrderedDict()
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def allows(self, url: str) -> bool:
        """Whether a page may be read; raises AddressRefused if its site may not even be asked."""
        parts = urlsplit(url)
        site = f"{parts.scheme}://{parts.netloc}"
        lock = self._locks.setdefault(site, asyncio.Lock())  # a question reads several pages of a site at once
        async with lock:
            rules = self._rules.get(site)
            if rules is None or rules.until_s < time.monotonic():
                rules = await self._renewed(site)
        return rules.allows(url)

    async def _renewed(self, site: str) -> _Rules:
        allows = await self._read(site)
        kept_s = OUTAGE_KEPT_S if allows is _forbids_all else KEPT_S
        rules = self._rules[site] = _Rules(allows, time.monotonic() + kept_s)
        self._rules.move_to_end(site)
        if len(self._rules) > SITES_MAX:
            self._rules.popitem(last=False)
        return rules

    async def _read(self, site: str) -> Callable[[str], bool]:
        try:
            status, body = await self._fetch(f"{site}/robots.txt", MAX_BYTES)
        except AddressRefused:
            raise
        except PageRefused:
            return _forbids_all  # not reachable: nothing may be read (RFC 9309, 2.3.1.4)
        if status >= 500:
            return _forbids_all
        if status != 200:
            return _allows_all
        text = body.decode("utf-8-sig", "replace")  # a byte order mark would hide the first line
        if text.lower().count("agent") * len(text.splitlines()) > WORK_MAX:
            return _forbids_all
        rules = await asyncio.to_thread(Protego.parse, text)
        return lambda url: bool(rules.can_fetch(url, ROBOT_NAME))


def _allows_all(url: str) -> bool:
    return True


def _forbids_all(url: str) -> bool:
    return False

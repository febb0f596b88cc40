"""Fetching pages of strangers' choice: within the guard, within size and time, and as their sites allow."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urldefrag, urljoin

import aiohttp
from aiohttp.abc import AbstractResolver
from yarl import URL

from storage import __version__
from trainer.ask.pages.address_guard import AllowedHosts, checked_address, checked_target, is_address
from trainer.ask.pages.body import ENCODINGS, read_body
from trainer.ask.pages.errors import AddressRefused, PageRefused
from trainer.ask.pages.guarded_connector import check_peer, guarded_connector
from trainer.ask.pages.robots import ROBOT_NAME, RobotsCache

REDIRECTS_MAX = 5
REDIRECTS = (301, 302, 303, 307, 308)
READABLE = ("text/html", "application/xhtml+xml", "text/plain", "text/markdown", "application/pdf")
HEADERS = {
    "User-Agent": f"Mozilla/5.0 (compatible; {ROBOT_NAME}/{__version__})",
    "Accept": "text/html, application/xhtml+xml, application/pdf;q=0.9, text/plain;q=0.9, text/markdown;q=0.9",
    "Accept-Encoding": ENCODINGS,
}


@dataclass(frozen=True)
class FetchedPage:
    """What a site answered, as it came."""

    url: str  # after redirects
    media_type: str
    charset: str  # as the header declares it, or empty
    body: bytes
    whole: bool  # False: cut off at the size limit


@dataclass(frozen=True)
class _Answer:
    status: int
    location: str
    page: FetchedPage


class PageFetcher:
    """Fetches pages; one for a process. `close` it."""

    def __init__(
        self,
        allowed: AllowedHosts,
        *,
        timeout_s: float = 10.0,
        max_bytes: int = 5 * 2**20,
        resolver: AbstractResolver | None = None,
    ) -> None:
        self._allowed, self._timeout_s, self._max_bytes = allowed, timeout_s, max_bytes
        self._session = aiohttp.ClientSession(
            connector=guarded_connector(allowed, resolver or aiohttp.DefaultResolver()),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            headers=HEADERS,
            trust_env=False,  # a proxy would resolve names itself
        )
        self._robots = RobotsCache(self._robots_txt)

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()

    async def fetch(self, url: str) -> FetchedPage:
        """Fetch a page as it is at the end of its redirects; raises PageRefused."""
        async with self._in_time():
            return await self._followed(url)

    async def _followed(self, url: str) -> FetchedPage:
        for _ in range(REDIRECTS_MAX + 1):
            checked_target(url, self._allowed)
            if not await self._robots.allows(url):
                raise PageRefused("does not let programs read it (robots.txt)")
            answer = await self._get(url, self._max_bytes)
            if answer.status == 200:
                return _readable(answer.page)
            url = _next(answer, url)
        raise PageRefused("leads from one address to another without an end")

    async def _robots_txt(self, url: str, max_bytes: int) -> tuple[int, bytes]:
        """Status and body of a robots.txt, which may be elsewhere."""
        async with self._in_time():
            for _ in range(REDIRECTS_MAX + 1):
                answer = await self._get(url, max_bytes)
                if answer.status not in REDIRECTS or not answer.location:
                    return answer.status, answer.page.body
                url = _next(answer, url)
        return 404, b""

    async def _get(self, url: str, max_bytes: int) -> _Answer:
        """One request, without redirects; raises PageRefused."""
        target = checked_target(url, self._allowed)
        try:
            address = URL(url)
            if is_address(address.raw_host or ""):  # as the client reads it, which connects to it unresolved
                checked_address(target, address.raw_host or "", self._allowed)
            async with self._session.get(address, allow_redirects=False) as response:
                check_peer(response, target, self._allowed)
                is_ok = response.status == 200
                body, whole = await read_body(response, max_bytes) if is_ok else (b"", True)
                page = FetchedPage(url, _media_type(response), response.charset or "", body, whole)
                return _Answer(response.status, response.headers.get("Location", ""), page)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise PageRefused("could not be fetched") from error

    @asynccontextmanager
    async def _in_time(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._timeout_s):
                yield
        except TimeoutError:
            raise PageRefused("took too long to answer") from None


def _next(answer: _Answer, url: str) -> str:
    """Where a redirect leads; raises PageRefused if the answer is none."""
    if answer.status in REDIRECTS and answer.location:
        try:
            return urldefrag(urljoin(url, answer.location)).url
        except ValueError:
            raise AddressRefused("leads to an address that is not valid") from None
    if answer.status in (401, 402, 403, 407, 451):
        raise PageRefused("is not open to everybody")
    if answer.status in (404, 410):
        raise PageRefused("does not exist any more")
    raise PageRefused(f"was answered with status {answer.status}")


def _media_type(response: aiohttp.ClientResponse) -> str:
    return response.headers.get("Content-Type", "").partition(";")[0].strip().lower()


def _readable(page: FetchedPage) -> FetchedPage:
    """The page if it is of a kind that has text; raises PageRefused."""
    media_type = page.media_type
    if page.body[:1024].lstrip().startswith(b"%PDF-"):
        media_type = "application/pdf"
    elif media_type in ("", "application/octet-stream"):
        media_type = "text/plain" if b"\0" not in page.body[:1024] else "application/octet-stream"
        if b"<html" in page.body[:1024].lower() or b"<!doctype html" in page.body[:1024].lower():
            media_type = "text/html"
    if media_type not in READABLE:
        raise PageRefused("is not a text")
    if media_type == "application/pdf" and not page.whole:
        raise PageRefused("is too large")
    return FetchedPage(page.url, media_type, page.charset, page.body, page.whole)

"""Fetch the files that people attach, from a platform's own hosts and nowhere else."""

import asyncio
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

import aiohttp
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from bot.photos.uploads import Upload

CHUNK_BYTES = 2**16
AT_ONCE = 4  # files, of all people: each may be as large as a photo may be
EACH_AT_ONCE = 3  # of one person
TRIES = 3
HTML_NAME = re.compile(r"\.html?$", re.IGNORECASE)


class NotFetched(Exception):
    """A file cannot be had; what this says follows the file's name in a sentence."""


class Busy(NotFetched):
    """A download that failed, but may succeed a moment later."""


@dataclass(frozen=True)
class FileHosts:
    """The servers that files may be fetched from, by TLS."""

    platform: Collection[str]  # names of the platform's own
    api_url: str = ""  # where an operator set another address of the API: its host may have files on any port

    def have(self, url: str) -> bool:
        """Whether a file is on one of them; without TLS only where the API is asked without it, too."""
        file, api = urlsplit(url), urlsplit(self.api_url)
        if api.hostname and file.hostname == api.hostname:
            return file.scheme in ("https", api.scheme)
        return file.scheme == "https" and file.netloc in self.platform


async def fetch_file(
    session: aiohttp.ClientSession,
    name: str,
    url: str,
    *,
    hosts: FileHosts,
    most_bytes: int,
    size_bytes: int = 0,
    timeout_s: float = 30.0,
    headers: Mapping[str, str] | None = None,
) -> Upload:
    """Download a file that is called `name`; one that cannot be had says why, and spoils nothing for the others.

    `size_bytes` is its size as the chat says it, or 0: an HTML file is told by it from the page of a refusal.
    `headers`, which may hold a token, go to the `hosts` only. Redirects are not followed. What may pass is tried again,
    all within `timeout_s`.
    """
    if not hosts.have(url):
        return Upload(name=name, trouble="is not on this chat's own servers, so it was not fetched")
    retrying = AsyncRetrying(
        retry=retry_if_exception_type((Busy, aiohttp.ClientConnectionError, aiohttp.ClientPayloadError)),
        wait=wait_random_exponential(0.5, 5),
        stop=stop_after_attempt(TRIES),
        reraise=True,
    )
    try:
        # Over all tries together: a person waits for the slowest of their photos.
        async with asyncio.timeout(timeout_s):
            file: tuple[bytes, str] = await retrying(_download, session, url, headers, most_bytes)
            data, media_type = file
            if media_type == "text/html" and not (HTML_NAME.search(name) and len(data) == size_bytes):
                raise NotFetched("came as a web page instead of a file: perhaps I may not read it")
            return Upload(name=name, data=data)
    except NotFetched as error:
        return Upload(name=name, trouble=str(error))
    except (aiohttp.ClientError, TimeoutError):
        return Upload(name=name, trouble="could not be fetched from the chat: please try again")


async def _download(
    session: aiohttp.ClientSession, url: str, headers: Mapping[str, str] | None, most_bytes: int
) -> tuple[bytes, str]:
    """The body, and its media type as the server says it."""
    # A redirect could lead inside the operator's network, or carry the token elsewhere (SSRF).
    async with session.get(url, headers=headers, allow_redirects=False) as response:
        return await _body(response, most_bytes), response.content_type


async def _body(response: aiohttp.ClientResponse, most_bytes: int) -> bytes:
    """Read no more than may be kept, whatever the server says the length is; raises NotFetched."""
    if response.status in (403, 404, 410):
        raise NotFetched("is gone, its link has expired: please attach it again")
    if response.status != 200:
        kind = Busy if response.status == 429 or response.status >= 500 else NotFetched
        raise kind(f"was not given to me by the chat (status {response.status}): please try again")
    data = bytearray()
    async for chunk in response.content.iter_chunked(CHUNK_BYTES):
        data += chunk
        if len(data) > most_bytes:
            raise NotFetched(f"is too large: {most_bytes / 2**20:.3g} MB is the limit")
    return bytes(data)

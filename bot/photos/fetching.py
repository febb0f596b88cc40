"""Fetch the files that people attach, from a platform's own hosts and nowhere else."""

import asyncio
from collections.abc import Collection, Mapping
from urllib.parse import urlsplit

import aiohttp

from bot.messages import Upload

CHUNK_BYTES = 2**16
AT_ONCE = 4  # files, of all people: each may be as large as a photo may be


class NotFetched(Exception):
    """A file cannot be had; what this says follows the file's name in a sentence."""


async def fetched(
    session: aiohttp.ClientSession,
    name: str,
    url: str,
    *,
    origins: Collection[str],
    most_bytes: int,
    timeout_s: float = 30.0,
    headers: Mapping[str, str] | None = None,
) -> Upload:
    """Download a file that is called `name`; one that cannot be had says why, and spoils nothing for the others.

    `origins` are those that may be asked, like https://files.example, with a port where it is not the usual one;
    `headers`, which may hold a token, go to them only. Redirects are not followed.
    """
    if origin(url) not in origins:
        return Upload(name=name, trouble="is not on this chat's own servers, so it was not fetched")
    try:
        async with asyncio.timeout(timeout_s), session.get(url, headers=headers, allow_redirects=False) as response:
            return Upload(name=name, data=await _body(response, most_bytes))
    except NotFetched as error:
        return Upload(name=name, trouble=str(error))
    except (aiohttp.ClientError, TimeoutError):
        return Upload(name=name, trouble="could not be fetched from the chat: please try again")


async def _body(response: aiohttp.ClientResponse, most_bytes: int) -> bytes:
    """Read no more than may be kept, whatever the server says the length is; raises NotFetched."""
    if response.status in (403, 404, 410):
        raise NotFetched("is gone, its link has expired: please attach it again")
    if response.status != 200:
        raise NotFetched(f"was not given to me by the chat (status {response.status}): please try again")
    if response.content_type == "text/html":
        raise NotFetched("came as a web page instead of a file: perhaps I may not read it")
    data = bytearray()
    async for chunk in response.content.iter_chunked(CHUNK_BYTES):
        data += chunk
        if len(data) > most_bytes:
            raise NotFetched(f"is too large: {most_bytes / 2**20:.3g} MB is the limit")
    return bytes(data)


def origin(url: str) -> str:
    """Scheme, host and port of a web address, in which http is another than https; empty for what is none."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}" if parts.scheme in ("https", "http") and parts.netloc else ""

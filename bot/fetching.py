"""Fetch the files that people attach, from a platform's own hosts and nowhere else."""

import asyncio
from collections.abc import Collection, Mapping
from urllib.parse import urlsplit

import aiohttp

from storage.errors import UserError

CHUNK_BYTES = 2**16


async def fetch(
    session: aiohttp.ClientSession,
    url: str,
    *,
    hosts: Collection[str],
    most_bytes: int,
    timeout_s: float = 30.0,
    headers: Mapping[str, str] | None = None,
) -> bytes:
    """Download a file; raises UserError with a sentence.

    `hosts` are the names, with a port where it is not the usual one, that may be asked; `headers`, which may hold a
    token, go to them only. Redirects are not followed.
    """
    if not _allowed(url, hosts):
        raise UserError("That file is not on this chat's own servers, so I did not fetch it.")
    try:
        async with asyncio.timeout(timeout_s):
            async with session.get(url, headers=headers, allow_redirects=False) as response:
                if response.status in (403, 404, 410):
                    raise UserError("That file is gone: its link has expired. Please attach it again.")
                if response.status != 200:
                    raise UserError(f"The chat did not give me that file (status {response.status}). Please try again.")
                if response.content_type == "text/html":
                    raise UserError("The chat gave me a web page instead of that file: perhaps I may not read it.")
                return await _body(response, most_bytes)
    except (aiohttp.ClientError, TimeoutError) as error:
        raise UserError("That file could not be fetched from the chat. Please try again.") from error


async def _body(response: aiohttp.ClientResponse, most_bytes: int) -> bytes:
    """Read no more than may be kept, whatever the server says the length is."""
    data = bytearray()
    async for chunk in response.content.iter_chunked(CHUNK_BYTES):
        data += chunk
        if len(data) > most_bytes:
            raise UserError(f"That file is too large: {most_bytes / 2**20:.3g} MB is the limit.")
    return bytes(data)


def _allowed(url: str, hosts: Collection[str]) -> bool:
    parts = urlsplit(url)
    return parts.scheme in ("https", "http") and parts.netloc in hosts

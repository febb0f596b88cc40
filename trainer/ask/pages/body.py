"""The body of an answer, read within limits: bytes are counted after decompression, so that no bomb unfolds."""

import zlib
from collections.abc import Iterator

import aiohttp

from trainer.ask.pages.errors import PageRefused

CHUNK_BYTES = 2**16
ENCODINGS = "gzip, deflate"  # what we say that we take, and can bound


async def read_body(response: aiohttp.ClientResponse, max_bytes: int) -> tuple[bytes, bool]:
    """The decompressed body, cut off at `max_bytes`, and whether it is whole; raises PageRefused."""
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    inflate = _Inflater(encoding)
    body = bytearray()
    async for chunk in response.content.iter_chunked(CHUNK_BYTES):
        for piece in inflate.pieces(chunk):
            body += piece
            if len(body) > max_bytes:
                return bytes(body[:max_bytes]), False
        if inflate.is_over:  # what follows is not of the body, and may have no end
            break
    return bytes(body), True


class _Inflater:
    """Decompresses a stream in pieces of a bounded size."""

    def __init__(self, encoding: str) -> None:
        if encoding not in ("", "identity", "gzip", "x-gzip", "deflate"):
            raise PageRefused("is compressed in a way that was not asked for")
        self._plain = encoding in ("", "identity")
        self._may_be_raw = encoding == "deflate"  # some servers leave out the zlib header
        self._decompress = zlib.decompressobj(zlib.MAX_WBITS | 32)

    @property
    def is_over(self) -> bool:
        """Whether a compressed stream has come to its end."""
        return not self._plain and self._decompress.eof

    def pieces(self, chunk: bytes) -> Iterator[bytes]:
        """What a chunk unfolds to; raises PageRefused if it is damaged."""
        if self._plain:
            yield chunk
            return
        try:
            while chunk:
                yield self._piece(chunk)
                self._may_be_raw = False
                chunk = self._decompress.unconsumed_tail
        except zlib.error:
            raise PageRefused("came damaged") from None

    def _piece(self, chunk: bytes) -> bytes:
        try:
            return self._decompress.decompress(chunk, CHUNK_BYTES)
        except zlib.error:
            if not self._may_be_raw:
                raise
            self._decompress = zlib.decompressobj(-zlib.MAX_WBITS)
            return self._decompress.decompress(chunk, CHUNK_BYTES)

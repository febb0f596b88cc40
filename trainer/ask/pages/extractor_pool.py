"""The processes that read strangers' files, seen from the worker: a few, kept warm, killed when they do not answer."""

import asyncio
import json
import logging
from asyncio.subprocess import DEVNULL, Process

from storage.child_processes import ProcessPool
from trainer.ask.pages.extract import Extracted

log = logging.getLogger(__name__)

PROCESSES = 2
START_TIMEOUT_S = 120.0
MEMORY_BYTES = 1536 * 2**20  # of address space
TOO_SLOW = Extracted(trouble="takes too long to read", may_pass=True)
CRASHED = Extracted(trouble="cannot be read", may_pass=True)


class ExtractorPool(ProcessPool):
    """Extracts texts in processes of their own. `close` it."""

    def __init__(self, timeout_s: float = 20.0) -> None:
        super().__init__("trainer.ask.pages.extractor_process", str(MEMORY_BYTES), stderr=DEVNULL)
        self._timeout_s = timeout_s
        self._free = asyncio.Semaphore(PROCESSES)

    async def extract(self, data: bytes, media_type: str, charset: str = "", url: str = "") -> Extracted:
        """The text of a file; one that cannot be read, or takes too long, says so in `trouble`."""
        header = {"bytes": len(data), "media_type": media_type, "charset": charset, "url": url}
        async with self._free:
            try:
                process = await self.take()
            except OSError as error:  # a TimeoutError is one
                log.error("no process that reads pages can be started: %s", error)
                return CRASHED
            try:
                with self.lent(process):
                    async with asyncio.timeout(self._timeout_s):
                        return await _extracted(process, json.dumps(header).encode() + b"\n" + data)
            except TimeoutError:
                return TOO_SLOW
            except (OSError, ValueError, TypeError, KeyError, AttributeError):
                return CRASHED

    async def until_ready(self, process: Process) -> None:
        """Wait until its libraries are loaded, which takes a second."""
        async with asyncio.timeout(START_TIMEOUT_S):
            await _line(process)


async def _extracted(process: Process, request: bytes) -> Extracted:
    assert process.stdin
    process.stdin.write(request)
    await process.stdin.drain()
    fields = json.loads(await _line(process))
    may_pass = bool(fields.pop("may_pass"))
    texts = {name: str(value).encode(errors="replace").decode() for name, value in fields.items()}  # no lone surrogates
    return Extracted(**texts, may_pass=may_pass)


async def _line(process: Process) -> bytes:
    assert process.stdout
    line = await process.stdout.readline()
    if not line.endswith(b"\n"):
        raise OSError("the process has ended")
    return line

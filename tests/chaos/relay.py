"""A line to Redis that can be cut, and that notes which jobs a worker reports on."""

import asyncio
import contextlib
import re
import time
from pathlib import Path

REPORT = re.compile(rb"darkroom:progress:([0-9a-f]{20})")
STEP = re.compile(rb'"job":"([0-9a-f]{20})","phase":"learning","step":(\d+)')
CHUNK_BYTES = 2**16


class Relay:
    """Listens on the unix socket `path` and passes everything on to the socket `target`, unless it is cut."""

    def __init__(self, path: Path) -> None:
        self.path, self.target = path, ""
        self.reports: dict[str, float] = {}  # when each job was reported on last, in seconds of the monotonic clock
        self.steps: dict[str, int] = {}  # how far each training was by its newest report
        self._whole = asyncio.Event()
        self._whole.set()
        self._lines: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Begin to listen."""
        self._server = await asyncio.start_unix_server(self._serve, self.path)

    async def close(self) -> None:
        """Hang up."""
        self._server.close()
        for line in self._lines:
            line.cancel()
        await asyncio.gather(*self._lines, return_exceptions=True)

    async def cut(self, for_s: float) -> None:
        """Let nothing through for a while, without a word to either side."""
        self._whole.clear()
        await asyncio.sleep(for_s)
        self._whole.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = asyncio.current_task()
        assert line
        self._lines.add(line)
        with contextlib.suppress(OSError, asyncio.CancelledError):
            there_reader, there_writer = await asyncio.open_unix_connection(self.target)
            async with asyncio.TaskGroup() as both:
                both.create_task(self._pass_on(reader, there_writer, noting=True))
                both.create_task(self._pass_on(there_reader, writer))
        writer.close()
        self._lines.discard(line)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, noting: bool = False) -> None:
        try:
            while data := await reader.read(CHUNK_BYTES):
                await self._whole.wait()
                if noting:
                    self.reports |= {job.decode(): time.monotonic() for job in REPORT.findall(data)}
                    self.steps |= {job.decode(): int(step) for job, step in STEP.findall(data)}
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()

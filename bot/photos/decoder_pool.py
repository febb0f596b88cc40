"""The processes that decode photos, seen from the bot: a few, kept warm, each killed when it does not answer."""

import asyncio
import logging
import os
import sys
from asyncio.subprocess import PIPE, Process
from contextlib import suppress
from pathlib import Path

from bot.photos import decoder_protocol
from bot.photos.decoder_result import DecodedPhoto
from bot.photos.errors import PhotoError
from bot.photos.fair_slots import FairSlots
from bot.photos.limits import RESULT_BYTES, SLOW_AFTER_S, PhotoLimits
from storage.child_processes import reap

log = logging.getLogger(__name__)

HERE = Path(__file__).parents[2]
AT_ONCE = 2  # photos of all people
SLOW_AT_ONCE = 2  # photos that take longer than SLOW_AFTER_S, besides
GRACE_S = 5.0  # beyond the limit of a photo, which its process keeps by itself
# All that the process gets to know. It is made from nothing: no token and no key of the store is in it.
ENVIRONMENT = {
    "LANG": "C.UTF-8",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "2",
    "PYTHONDONTWRITEBYTECODE": "1",
}
LIBRARIES = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")  # without which some installations of Python do not start


class DecodePool:
    """Reads photos in processes of their own, in fair turns. Processes start when they are needed first."""

    def __init__(self, limits: PhotoLimits) -> None:
        self.limits = limits
        self._turns = FairSlots(AT_ONCE, each=1, aside=SLOW_AT_ONCE)
        self._idle: list[Process] = []
        self._all: set[Process] = set()

    async def read(self, person: str, data: bytes) -> DecodedPhoto:
        """Prepare a photo of a person; raises PhotoError if it cannot be used, in whatever way."""
        async with self._turns.turn(person) as turn:
            try:
                process = await self._ready()
            except OSError as error:  # the system has no room for one more
                log.error("no process to decode photos can be started: %s", error)
                raise PhotoError("could not be read: please try again") from error
            slow = asyncio.get_running_loop().call_later(SLOW_AFTER_S, self._turns.set_aside, turn)
            answered = False
            try:
                async with asyncio.timeout(self.limits.wall_s + GRACE_S):
                    header, body = await self._asked(process, data)
                answered = True
                return DecodedPhoto.from_frame(header, body)
            except (TimeoutError, asyncio.IncompleteReadError, OSError, ValueError) as error:
                raise PhotoError("could not be read: please try again") from error
            finally:
                slow.cancel()
                if answered:
                    self._idle.append(process)
                else:
                    self._kill(process)

    async def warm(self) -> None:
        """Start a decoder process in advance, if there is none yet."""
        if not self._all:
            self._idle.append(await self._start())

    async def close(self) -> None:
        """End all processes at once; wait for those as well that were killed before."""
        for process in self._all:
            self._kill(process)
        await asyncio.gather(*map(reap, self._all))
        self._all.clear()

    async def _ready(self) -> Process:
        """A process that waits for a photo."""
        while self._idle:
            process = self._idle.pop()
            if process.returncode is None:
                return process
        return await self._start()

    async def _asked(self, process: Process, data: bytes) -> tuple[decoder_protocol.Json, bytes]:
        assert process.stdin and process.stdout
        process.stdin.write(decoder_protocol.packed(self.limits._asdict(), data))
        await process.stdin.drain()
        sizes = decoder_protocol.lengths(await process.stdout.readexactly(decoder_protocol.LENGTHS.size), RESULT_BYTES)
        header = decoder_protocol.header_of(await process.stdout.readexactly(sizes[0]))
        return header, await process.stdout.readexactly(sizes[1])

    async def _start(self) -> Process:
        environment = ENVIRONMENT | {name: os.environ[name] for name in LIBRARIES if name in os.environ}
        environment["PYTHONPATH"] = os.pathsep.join(path for path in (str(HERE), *sys.path) if path)
        command = (sys.executable, "-P", "-m", "bot.photos.decoder_process", str(os.getpid()))
        # a session of its own: Ctrl-C reaches only us
        process = await asyncio.create_subprocess_exec(
            *command, stdin=PIPE, stdout=PIPE, env=environment, start_new_session=True, limit=2**22
        )
        self._all = {each for each in self._all if each.returncode is None} | {process}
        return process

    def _kill(self, process: Process) -> None:
        """End a process and its child; `close` waits until it is gone."""
        with suppress(ValueError):
            self._idle.remove(process)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, 9)  # a child may outlive the process, and hold its pipes

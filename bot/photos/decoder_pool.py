"""The processes that decode photos, seen from the bot: a few, kept warm, each killed when it does not answer."""

import asyncio
import logging
import os
from asyncio.subprocess import Process

from bot.photos import decoder_protocol
from bot.photos.decoder_protocol import DecodedPhoto
from bot.photos.errors import PhotoError
from bot.photos.fair_slots import FairSlots
from bot.photos.limits import RESULT_BYTES, SLOW_AFTER_S, PhotoLimits
from storage.child_processes import ProcessPool

log = logging.getLogger(__name__)

AT_ONCE = 2  # photos of all people
SLOW_AT_ONCE = 2  # photos that take longer than SLOW_AFTER_S, besides
GRACE_S = 5.0  # beyond the limit of a photo, which its process keeps by itself


class DecodePool(ProcessPool):
    """Reads photos in processes of their own, in fair turns."""

    def __init__(self, limits: PhotoLimits) -> None:
        super().__init__("bot.photos.decoder_process", str(os.getpid()))
        self.limits = limits
        self._turns = FairSlots(AT_ONCE, each=1, aside=SLOW_AT_ONCE)

    async def read(self, person: str, data: bytes) -> DecodedPhoto:
        """Prepare a photo of a person; raises PhotoError if it cannot be used, in whatever way."""
        async with self._turns.turn(person) as turn:
            try:
                process = await self.take()
            except OSError as error:  # the system has no room for one more
                log.error("no process to decode photos can be started: %s", error)
                raise PhotoError("could not be read: please try again") from error
            slow = asyncio.get_running_loop().call_later(SLOW_AFTER_S, self._turns.set_aside, turn)
            try:
                with self.lent(process):
                    async with asyncio.timeout(self.limits.wall_s + GRACE_S):
                        header, body = await self._decoded(process, data)
                return DecodedPhoto.from_frame(header, body)
            except (TimeoutError, asyncio.IncompleteReadError, OSError, ValueError) as error:
                raise PhotoError("could not be read: please try again") from error
            finally:
                slow.cancel()

    async def _decoded(self, process: Process, data: bytes) -> tuple[decoder_protocol.Json, bytes]:
        assert process.stdin and process.stdout
        process.stdin.write(decoder_protocol.packed(self.limits._asdict(), data))
        await process.stdin.drain()
        sizes = decoder_protocol.lengths(await process.stdout.readexactly(decoder_protocol.LENGTHS.size), RESULT_BYTES)
        header = decoder_protocol.header_of(await process.stdout.readexactly(sizes[0]))
        return header, await process.stdout.readexactly(sizes[1])

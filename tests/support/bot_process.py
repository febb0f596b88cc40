"""A bot as `darkroom discord` and `darkroom slack` run it, in a process of its own: to be killed, or to stand by."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import pytest

from bot.app import Darkroom
from storage.settings.bot import BotSettings

READY_S = 180.0
# Tests ask faster, and for more at once, than people may.
NO_LIMITS = dict.fromkeys(
    (
        "DARKROOM_REQUESTS_PER_MINUTE",
        "DARKROOM_PICTURES_PER_PERSON",
        "DARKROOM_PICTURES_PER_SPACE",
        "DARKROOM_TRAININGS_PER_PERSON",
        "DARKROOM_TRAININGS_PER_SPACE",
    ),
    "1000000",
)


class BotProcess:
    """A bot in a process of its own, and what it says."""

    def __init__(self, process: asyncio.subprocess.Process, app: Darkroom) -> None:
        self.process, self.app = process, app
        self.said: list[str] = []
        self.ready = asyncio.Event()
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self.process.stdout
        async for line in self.process.stdout:
            self.said.append(line.decode())
            if "Darkroom is on " in self.said[-1]:
                self.ready.set()

    @property
    def url(self) -> str:
        """Where it listens, on Slack over HTTP."""
        return next(line for line in self.said if "Darkroom is on " in line).split()[-1]

    async def ended(self) -> int:
        """Wait for its end; return its exit status."""
        await self._reading
        return await self.process.wait()

    async def kill(self, lead_passes: bool = True) -> None:
        """End it as a power cut does, and let the ten seconds pass after which another may lead."""
        self.process.send_signal(signal.SIGKILL)
        await self.ended()
        async for key in self.app.redis.scan_iter("darkroom:leader:*" if lead_passes else "-"):
            await self.app.redis.delete(key)


@asynccontextmanager
async def bot_process(
    chat: str, environment: Mapping[str, str], app: Darkroom, ready: bool = True
) -> AsyncIterator[BotProcess]:
    """Run `darkroom CHAT`, and wait until it serves; it is killed in the end if it still runs."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bot.cli.main", chat),
        env={**os.environ, **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    bot = BotProcess(process, app)
    try:
        if ready:
            async with asyncio.timeout(READY_S):
                await bot.ready.wait()
        yield bot
    finally:
        if process.returncode is None:
            await bot.kill()
        await bot.ended()


def settings_of(environment: Mapping[str, str]) -> BotSettings:
    """The settings that a process with this environment has."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        return BotSettings(_env_file=None)

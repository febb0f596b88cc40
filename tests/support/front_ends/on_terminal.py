"""The terminal: commands one after another in one process, for speed; what is watched or asks has one of its own.

A process of its own has a terminal as its standard input, as a person at a keyboard does.
"""

import asyncio
import json
import os
import re
import sys
from asyncio.subprocess import PIPE, STDOUT, Process
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bot.photos.uploads import Upload
from tests.conftest import Stack
from tests.support.front_ends import Front, Shown
from tests.support.terminal import SHELL, Said, environment

CALLED = {"help": "--help", "dreambooth list": "subjects"}
LINE_BYTES = 2**20  # of what a command said: its box lines are escaped
FIRST = ("prompt", "name", "job")  # options that a command takes without their names
WATCHED = ("train", "forget")


@dataclass
class Running:
    """A command in a process of its own, and what it said so far."""

    process: Process
    keyboard: int  # file descriptor
    said: str = ""
    reading: set[asyncio.Task[None]] = field(default_factory=set)

    async def read(self) -> None:
        """Note what it says."""
        assert self.process.stdout
        while some := await self.process.stdout.read(4096):
            self.said += some.decode()


class OnTerminal(Front):
    """A shell in a folder of its own."""

    space, alone, asks, graphic = "local", True, False, False
    learning = r"(?m)^Learning$"

    def __init__(self, shell: Process, folder: Path, env: dict[str, str]) -> None:
        super().__init__()
        self.shell, self.folder, self.env = shell, folder, env
        self.commands: list[Running | Said] = []

    async def _give(self, command: str, who: str, photos: Sequence[Upload], options: dict[str, Any]) -> None:
        for photo in photos:
            (self.folder / photo.name).write_bytes(photo.data)
        positional = [str(options.pop(name)) for name in FIRST if name in options and not photos]
        named = [word for name, value in options.items() for word in (f"--{name}", str(value))]
        word = CALLED.get(command, command.split()[-1])
        start = self._watch if word in WATCHED else self._run
        await start(word, *(photo.name for photo in photos), *positional, *named)

    async def _run(self, *words: str) -> Said:
        assert self.shell.stdin and self.shell.stdout
        self.shell.stdin.write(f"{json.dumps(words)}\n".encode())
        said = Said(**json.loads(await self.shell.stdout.readline()))
        self.commands.append(said)
        return said

    async def _watch(self, *words: str) -> None:
        keyboard, terminal = os.openpty()
        about: dict[str, Any] = {"stdin": terminal, "stdout": PIPE, "stderr": STDOUT, "env": self.env}
        command = (sys.executable, "-m", "bot.cli.main", *words)
        running = Running(await asyncio.create_subprocess_exec(*command, cwd=self.folder, **about), keyboard)
        os.close(terminal)
        running.reading.add(asyncio.create_task(running.read()))
        self.commands.append(running)

    async def _push(self, message: Shown, label: str, who: str) -> None:
        """What is a button elsewhere is a command about the job here."""
        await self._run(label.lower(), await self._job(message))

    async def _job(self, message: Shown) -> str:
        if found := re.search(r"^job +(\w+)$", message.text, re.M):
            return found[1]
        jobs = (await self._run("jobs", "--json")).result["jobs"]
        return next(job["job"] for job in jobs if job["state"] == "open")

    async def screen(self, who: str) -> list[Shown]:
        """What the commands printed; no words for pictures, which are files."""
        said = [command.out + command.err if isinstance(command, Said) else command.said for command in self.commands]
        return [Shown(str(number), text) for number, text in enumerate(said)]

    async def decide(self, question: Shown, sure: bool) -> None:
        """The question waits for a letter."""
        asking = self.commands[int(question.id)]
        assert isinstance(asking, Running)
        os.write(asking.keyboard, b"y\n" if sure else b"n\n")
        await asyncio.wait(asking.reading)

    async def full(self, message: Shown, number: int) -> bytes:
        """They are files already."""
        found = re.search(rf"^picture {number} +(/.*)$", message.text, re.M)
        assert found, message.text
        return Path(found[1]).read_bytes()

    async def _vary(self, message: Shown, number: int) -> None:
        found = re.search(r"^seeds +(.*)$", message.text, re.M)
        assert found, message.text
        await self._run("variations", await self._job(message), "--seed", found[1].split(", ")[number - 1])

    async def sheet(self, message: Shown) -> bytes:
        """A file that is named."""
        found = re.search(r"^(/.*) shows them\.", message.text, re.M)
        assert found, message.text
        return Path(found[1]).read_bytes()

    async def choose(self, message: Shown, step: int) -> None:
        """The command that is named, with another step."""
        found = re.search(r"Choose with: darkroom (choose \w+ --step) \d+$", message.text, re.M)
        assert found, message.text
        await self._run(*found[1].split(), str(step))

    async def close(self) -> None:
        """End what still runs."""
        for running in self.commands:
            if isinstance(running, Running):
                with suppress(ProcessLookupError):
                    running.process.kill()
                await asyncio.wait(running.reading)
                await running.process.wait()
                os.close(running.keyboard)


@asynccontextmanager
async def on_terminal(stack: Stack, folder: Path) -> AsyncIterator[OnTerminal]:
    """A shell in a folder."""
    env = environment(stack.home, **stack.environment)
    shell = await asyncio.create_subprocess_exec(*SHELL, stdin=PIPE, stdout=PIPE, cwd=folder, env=env, limit=LINE_BYTES)
    front = OnTerminal(shell, folder, env)
    try:
        yield front
    finally:
        await front.close()
        shell.kill()
        await shell.communicate()

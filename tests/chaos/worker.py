"""A worker process of a chaos run, and its way to the S3 server."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from email.message import Message
from pathlib import Path
from random import Random

import psutil

from tests.chaos import noisy_pipe
from tests.chaos.next_version import HERE
from tests.chaos.relay import Relay
from tests.servers.proxy import Mischief

ERRORS: list[Mischief] = ["lose", "cut", (503, "<Error><Code>SlowDown</Code></Error>"), (500, "<Error/>")]
# The worker as it is, but that it takes another program for Python when it starts its engine.
START = "import runpy, sys; sys.executable = sys.argv.pop(1); runpy.run_module('trainer', run_name='__main__')"


class Wire:
    """The way to the S3 server of one process: cut or unreliable for a while."""

    def __init__(self, chance: Random) -> None:
        self.chance = chance
        self.cut_until_s = self.bad_until_s = 0.0

    def __call__(self, method: str, path: str, headers: Message) -> Mischief:
        """What happens to a request."""
        if (rest_s := self.cut_until_s - time.monotonic()) > 0:
            time.sleep(rest_s)
            return (503, "<Error/>")
        if time.monotonic() < self.bad_until_s and self.chance.random() < 0.3:
            time.sleep(self.chance.random())
            return self.chance.choice([None, *ERRORS])
        return None


class Worker:
    """A worker process with a home, a line to Redis and a wire to the store of its own."""

    def __init__(self, name: str, environment: dict[str, str], home: Path, relay: Relay, wire: Wire) -> None:
        self.name, self.home, self.relay, self.wire = name, home, relay, wire
        self.noise = home.with_suffix(".noise")  # while this file is there its engine talks nonsense
        self.environment = {
            **os.environ,
            **environment,
            "DARKROOM_HOME": str(home),
            noisy_pipe.NOISE: str(self.noise),
        }
        self.log = home.with_suffix(".log")
        self.tree = HERE  # the source that it runs
        self.has_disk = False  # its home is a small disk of its own
        self.starts = self._log_start = 0
        self.process: subprocess.Popen[bytes] | None = None
        self._python = _noisy_python(home.with_suffix(".python"))

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self.process is not None and self.process.poll() is None

    def start(self) -> None:
        """Run it, unless it runs."""
        if not self.alive:
            with self.log.open("ab") as log:
                self._log_start = log.tell()
                command = [sys.executable, "-c", START, str(self._python)]
                self.process = subprocess.Popen(command, env=self.environment, stderr=log, stdout=log, cwd=self.tree)
            self.starts += 1

    @property
    def ready(self) -> bool:
        """Whether it runs and has loaded what it needs."""
        return self.alive and b"ready on" in self.log.read_bytes()[self._log_start :]

    def send(self, number: signal.Signals) -> None:
        """Send it a signal, if it runs."""
        if self.process and self.alive:
            self.process.send_signal(number)

    def engine(self) -> psutil.Process | None:
        """Its engine, if it has one: what runs behind the pipe."""
        with suppress(psutil.Error):
            if self.process and self.alive:
                pipes = psutil.Process(self.process.pid).children()
                return next((engine for pipe in pipes for engine in pipe.children()), None)
        return None

    @property
    def working_on(self) -> set[str]:
        """The jobs that it reported on a moment ago."""
        return {job for job, at_s in self.relay.reports.items() if time.monotonic() - at_s < 1.2}


def _noisy_python(path: Path) -> Path:
    """A program that runs Python with a `noisy_pipe` before its standard output."""
    path.write_text(f'#!/bin/sh\nexec {sys.executable} -E -S {noisy_pipe.__file__} {sys.executable} "$@"\n')
    path.chmod(0o755)
    return path

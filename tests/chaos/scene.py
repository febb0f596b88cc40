"""The deployment of a chaos run: servers, the proxies before them, workers that come back when they die, and a chat."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager, suppress
from email.message import Message
from pathlib import Path
from random import Random
from unittest.mock import patch

import boto3
import psutil

from bot.app import Darkroom
from bot.web.chat import Chat
from storage import queue
from storage.files import Store
from storage.settings import Settings
from tests.chaos.relay import Relay
from tests.chaos.told import Witness
from tests.servers import SECRET, Mischief, moto_server, opened, proxy, s3_environment, valkey

ENDS_WITHIN_S = 20  # a worker that was asked to
BUCKET = "chaos"
ERRORS: list[Mischief] = ["lose", "cut", (503, "<Error><Code>SlowDown</Code></Error>"), (500, "<Error/>")]


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
        self.environment = {**os.environ, **environment, "DARKROOM_HOME": str(home)}
        self.log = home.with_suffix(".log")
        self.starts = self._log_start = 0
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self.process is not None and self.process.poll() is None

    def start(self) -> None:
        """Run it, unless it runs."""
        if not self.alive:
            with self.log.open("ab") as log:
                self._log_start = log.tell()
                command = [sys.executable, "-m", "trainer"]
                self.process = subprocess.Popen(command, env=self.environment, stderr=log, stdout=log)
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
        """Its engine, if it has one."""
        with suppress(psutil.Error):
            if self.process and self.alive:
                return next(iter(psutil.Process(self.process.pid).children()), None)
        return None

    @property
    def working_on(self) -> set[str]:
        """The jobs that it reported on a moment ago."""
        return {job for job, at_s in self.relay.reports.items() if time.monotonic() - at_s < 1.2}


class Scene:
    """Everything that runs."""

    def __init__(self, folder: Path, model: Path, chance: Random, workers: int, lease_s: float = 3.0) -> None:
        self.folder, self.model, self.chance = folder, model, chance
        self._worker_count, self._lease_s = workers, lease_s
        self.workers: list[Worker] = []
        self.under_way: list[str] = []  # names of the faults that are not over
        self.witnesses: list[Witness] = []  # of each bot
        self.slow_ends: list[str] = []  # workers that did not end in time
        self.redis_changes = asyncio.Lock()  # one at a time
        self._relays: list[Relay] = []
        self._running, self._redis_running = ExitStack(), ExitStack()

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Scene"]:
        """Start everything; end everything."""
        with self._running, self._redis_running:
            await self._start()
            self._keeper = asyncio.create_task(self._keep_workers())
            try:
                yield self
            finally:
                await self._stop()

    async def _start(self) -> None:
        self._running.enter_context(patch.dict(os.environ))  # takes back what is set here
        self.s3_url = self._running.enter_context(moto_server())
        access = {"region_name": "us-east-1", "aws_access_key_id": "chaos", "aws_secret_access_key": SECRET}
        boto3.client("s3", endpoint_url=self.s3_url, **access).create_bucket(Bucket=BUCKET)
        os.environ |= s3_environment(self.s3_url)
        self.store: Store = await opened(f"s3://{BUCKET}")  # as it is, for the checker
        self.start_redis("queue")
        for number in range(self._worker_count):
            await self._add_worker(f"worker-{number}")
        relay, wire, environment = await self._ways("bot")
        self.bot_relay, self.bot_wire = relay, wire
        os.environ |= {name: value for name, value in environment.items() if name.startswith("AWS_")}
        self.settings = Settings(**environment, DARKROOM_HOME=str(self.folder / "bot"))
        await self.open_chat()
        self.redis = await queue.connect(environment["REDIS_URL"])

    async def _ways(self, name: str) -> tuple[Relay, Wire, dict[str, str]]:
        relay = Relay(self.folder / f"{name}.sock")
        relay.target = self.redis_socket
        await relay.open()
        self._relays.append(relay)
        wire = Wire(Random(self.chance.random()))
        endpoint = self._running.enter_context(proxy(self.s3_url, wire))
        environment = {
            **s3_environment(endpoint),
            "REDIS_URL": f"unix://{relay.path}",
            "DARKROOM_STORE": f"s3://{BUCKET}",
            "DARKROOM_BASE_MODEL": str(self.model),
            "DARKROOM_PHOTO_MIN_PX": "64",
            "DARKROOM_LEASE_S": str(self._lease_s),
            "DARKROOM_CHECKPOINT_S": "0.5",
            "DARKROOM_TRAININGS_PER_PERSON": "1000",
            "DARKROOM_TRAININGS_PER_SPACE": "1000",
            "DARKROOM_PICTURES_PER_PERSON": "1000",
            "DARKROOM_PICTURES_PER_SPACE": "1000",
            "DARKROOM_REQUESTS_PER_MINUTE": "1000",
            "OMP_NUM_THREADS": "1",
        }
        return relay, wire, environment

    async def _add_worker(self, name: str) -> None:
        relay, wire, environment = await self._ways(name)
        self.workers.append(Worker(name, environment, self.folder / name, relay, wire))

    async def workers_ready(self) -> None:
        """Wait until every worker has loaded what it needs."""
        while not all(worker.ready for worker in self.workers):  # noqa: ASYNC110 (a log tells nobody)
            await asyncio.sleep(0.1)

    async def _keep_workers(self) -> None:
        """Bring dead workers back, as a supervisor would."""
        while True:
            for worker in self.workers:
                worker.start()
            await asyncio.sleep(1)

    async def _stop(self) -> None:
        await self.chat.close()
        await self.app.close()
        await self.redis.aclose()
        await self.end_workers()
        for relay in self._relays:
            await relay.close()

    async def end_workers(self) -> None:
        """Ask all workers to end, and let none come back."""
        self._keeper.cancel()
        for worker in self.workers:
            worker.send(signal.SIGCONT)
            worker.send(signal.SIGTERM)
        for worker in self.workers:
            if worker.process:
                try:
                    await asyncio.to_thread(worker.process.wait, ENDS_WITHIN_S)
                except subprocess.TimeoutExpired:
                    self.slow_ends.append(worker.name)
                    worker.process.kill()
                    worker.process.wait()

    def start_redis(self, data: str) -> None:
        """Run Valkey on the folder `data`; one that is new is empty."""
        url = self._redis_running.enter_context(valkey(self.folder / data))
        self.redis_socket = url.removeprefix("unix://")
        for relay in self._relays:
            relay.target = self.redis_socket

    async def restart_redis(self, data: str, away_s: float) -> None:
        """End Valkey, and run it again after a while."""
        await asyncio.to_thread(self._redis_running.close)
        await asyncio.sleep(away_s)
        await asyncio.to_thread(self.start_redis, data)

    async def open_chat(self) -> None:
        """Start the bot's part: the local chat, which goes on where the one before was."""
        app = await Darkroom.open(self.settings, self.settings.redis_url)
        chat = Chat(app)
        self.witnesses.append(Witness())
        self._running.enter_context(chat.listening(self.witnesses[-1]))
        try:
            await chat.open()
        except BaseException:
            await app.close()
            raise
        self.app, self.chat = app, chat

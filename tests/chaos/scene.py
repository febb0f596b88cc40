"""The deployment of a chaos run: servers, the proxies before them, workers that come back when they die, and a chat."""

import asyncio
import logging
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from random import Random
from typing import Literal
from unittest.mock import patch

import boto3

from bot.app import Darkroom
from bot.connectors.web.chat import Chat
from storage.objects.store import Store
from storage.queue import broker
from storage.settings.bot import BotSettings
from tests.chaos.disks import small_disk
from tests.chaos.final_messages import Witness
from tests.chaos.next_version import next_version
from tests.chaos.relay import Relay
from tests.chaos.worker import Wire, Worker
from tests.servers.backing import SECRET, moto_server, opened, s3_environment, valkey
from tests.servers.proxy import proxy

ENDS_WITHIN_S = 20  # a worker that was asked to
BUCKET = "chaos"
HOME_BYTES, STORE_BYTES = 64 * 2**20, 512 * 2**20  # of the disks that can be full
Kind = Literal["folder", "s3"]  # of store
SILENCE_S, LOADING_S = 15, 60  # after which a silent engine is ended: it may have to wait for the processor


class Scene:
    """Everything that runs."""

    def __init__(
        self, folder: Path, model: Path, chance: Random, workers: int, lease_s: float = 3.0, store: Kind = "s3"
    ) -> None:
        self.folder, self.model, self.chance, self.kind = folder, model, chance, store
        self._worker_count, self._lease_s = workers, lease_s
        self.workers: list[Worker] = []
        self.under_way: list[str] = []  # names of the faults that are not over
        self.witnesses: list[Witness] = []  # of each bot
        self.slow_ends: list[str] = []  # workers that did not end in time
        self.redis_changes = asyncio.Lock()  # one at a time
        self.redis_emptied = False
        self.names: list[str] = []  # of what was to be learned
        self.asked: list[str] = []  # jobs that other bots have accepted
        self.damaged: set[str] = set()  # names of objects that were damaged
        self.touched: set[str] = set()  # ids of jobs and subjects that they tell of
        self.store_has_disk = False  # the store is a folder on a small disk of its own
        self.bot_log = folder / "bot.log"
        self._relays: list[Relay] = []
        self._running, self._redis_running = ExitStack(), ExitStack()

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Scene"]:
        """Start everything; end everything."""
        self._running.enter_context(logged(self.bot_log))
        with self._running, self._redis_running:
            await self._start()
            self._keeper = asyncio.create_task(self._keep_workers())
            try:
                yield self
            finally:
                await self._stop()

    async def _start(self) -> None:
        self._running.enter_context(patch.dict(os.environ))  # takes back what is set here
        self._start_store()
        self.store: Store = await opened(self.store_url)  # as it is, for the checker
        self.next_tree = next_version(self.folder / "next")
        self.start_redis("queue")
        for number in range(self._worker_count):
            await self._add_worker(f"worker-{number}")
        relay, wire, environment = await self._ways("bot")
        self.bot_relay, self.bot_wire, self.bot_environment = relay, wire, environment
        os.environ |= {name: value for name, value in environment.items() if name.startswith("AWS_")}
        self.settings = BotSettings(**environment, DARKROOM_HOME=str(self.folder / "bot"))
        await self.open_chat()
        self.redis = await broker.connect(environment["REDIS_URL"])

    def _start_store(self) -> None:
        if self.kind == "folder":
            root = self.folder / "disk"
            self.store_has_disk = self._running.enter_context(small_disk(root, STORE_BYTES))
            self.s3_url, self.store_url = "", str(root / "store")
            return
        self.s3_url, self.store_url = self._running.enter_context(moto_server()), f"s3://{BUCKET}"
        access = {"region_name": "us-east-1", "aws_access_key_id": "chaos", "aws_secret_access_key": SECRET}
        boto3.client("s3", endpoint_url=self.s3_url, **access).create_bucket(Bucket=BUCKET)
        os.environ.update(s3_environment(self.s3_url))

    async def _ways(self, name: str) -> tuple[Relay, Wire, dict[str, str]]:
        relay = Relay(self.folder / f"{name}.sock")
        relay.target = self.redis_socket
        await relay.open()
        self._relays.append(relay)
        wire = Wire(Random(self.chance.random()))
        s3 = s3_environment(self._running.enter_context(proxy(self.s3_url, wire))) if self.s3_url else {}
        environment = {
            **s3,
            "REDIS_URL": f"unix://{relay.path}",
            "DARKROOM_STORE": self.store_url,
            "DARKROOM_BASE_MODEL": str(self.model),
            "DARKROOM_PHOTO_MIN_PX": "64",
            "DARKROOM_LEASE_S": str(self._lease_s),
            "DARKROOM_CHECKPOINT_S": "0.5",
            "DARKROOM_ENGINE_SILENCE_S": str(SILENCE_S),
            "DARKROOM_ENGINE_LOADING_S": str(LOADING_S),
            "DARKROOM_DISK_LEAST_BYTES": str(2**20),
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
        worker = Worker(name, environment, self.folder / name, relay, wire)
        worker.has_disk = self._running.enter_context(small_disk(worker.home, HOME_BYTES))
        self.workers.append(worker)

    async def workers_ready(self) -> None:
        """Wait until every worker has loaded what it needs."""
        while not all(worker.ready for worker in self.workers):  # noqa: ASYNC110 (a log tells nobody)
            await asyncio.sleep(0.1)

    def finish_upgrade(self) -> None:
        """See to it that there is a worker of the next version, for the jobs that only such a one takes."""
        if all(worker.tree != self.next_tree for worker in self.workers):
            self.workers[0].tree = self.next_tree
            self.workers[0].send(signal.SIGTERM)

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


@contextmanager
def logged(path: Path) -> Iterator[None]:
    """Have warnings of this process, where the bot is, in a file as well."""
    handler = logging.FileHandler(path)
    handler.setLevel(logging.WARNING)
    handler.setFormatter(logging.Formatter("%(name)s %(levelname)s %(message)s"))
    logging.getLogger().addHandler(handler)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)
        handler.close()

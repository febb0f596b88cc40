"""Valkey servers by TCP, as people run them: with replicas, a Sentinel, few connections; and a firewall in between."""

import asyncio
import contextlib
import socket
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import RedisError

from storage.queue import broker
from storage.queue.redis_client import PrefixedRedis
from storage.settings.shared import SharedSettings
from tests.servers.backing import ended, valkey_binary

STARTS_WITHIN_S = 120
CHUNK_BYTES = 2**16


def free_port() -> int:
    """A free port, low enough for that of a cluster's bus, which is 10,000 higher."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            if (port := int(probe.getsockname()[1])) < 55_000:
                return port


@contextmanager
def valkey_tcp(config: str = "", sentinel: bool = False) -> Iterator[Redis]:
    """Run a Valkey, or a Sentinel, on a port; yields a client of its administrator."""
    with tempfile.TemporaryDirectory(prefix="vk-") as folder:
        port = free_port()
        file = Path(folder, "valkey.conf")
        file.write_text(f"port {port}\nbind 127.0.0.1\ndir {folder}\n{config}\n")
        command = [str(valkey_binary()), str(file), *(["--sentinel"] if sentinel else ["--save", ""])]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        with ended(process), Redis(port=port, socket_timeout=10) as admin:
            until_s = time.monotonic() + STARTS_WITHIN_S
            while not _answers(admin):
                assert process.poll() is None and time.monotonic() < until_s, f"{command} did not start"
                time.sleep(0.02)
            yield admin


def _answers(client: Redis) -> bool:
    try:
        return bool(client.ping())
    except RedisError:
        return False


def port_of(client: Redis) -> int:
    return int(client.connection_pool.connection_kwargs["port"])


class Firewall:
    """Passes connections on to `port`; may drop those that are open, or swallow what is said on them."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._lines: dict[asyncio.StreamWriter, asyncio.StreamWriter] = {}
        self._deaf: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.connections = 0

    def drop(self) -> None:
        """Hang up on all open connections."""
        for writer in list(self._lines):
            writer.transport.abort()

    def swallow(self) -> None:
        """Forget all open connections, as a NAT does, and tell nobody."""
        self._deaf |= set(self._lines)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass one connection on."""
        self.connections += 1
        task = asyncio.current_task()
        assert task
        self._tasks.add(task)
        try:
            there_reader, there = await asyncio.open_connection("127.0.0.1", self.port)
            self._lines[writer] = there
            await asyncio.gather(self._pass_on(writer, reader, there), self._pass_on(writer, there_reader, writer))
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            for end in (writer, self._lines.pop(writer, writer)):
                end.transport.abort()
            self._tasks.discard(task)

    async def close(self) -> None:
        """End all connections, and wait until they have ended."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _pass_on(
        self, line: asyncio.StreamWriter, reader: asyncio.StreamReader, to: asyncio.StreamWriter
    ) -> None:
        while data := await reader.read(CHUNK_BYTES):
            if line not in self._deaf:
                to.write(data)
                await to.drain()
        to.close()


@contextlib.asynccontextmanager
async def firewall(port: int) -> AsyncIterator[tuple[Firewall, str]]:
    """Run a firewall in front of a server; yields it and the URL of the way through it."""
    wall = Firewall(port)
    server = await asyncio.start_server(wall.serve, "127.0.0.1", 0)
    try:
        yield wall, f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0"
    finally:
        server.close()
        await wall.close()


@contextlib.asynccontextmanager
async def connected(url: str, settings: SharedSettings | None = None) -> AsyncIterator[PrefixedRedis]:
    """A client as every process of Darkroom opens it."""
    redis = await broker.connect(url, settings)
    try:
        yield redis
    finally:
        await redis.aclose()


async def refusal(url: str, settings: SharedSettings | None = None) -> broker.NoRedis:
    """Connect, and return how that is refused."""
    with pytest.raises(broker.NoRedis) as caught:
        await broker.connect(url, settings)
    return caught.value

"""Connections to Redis that can be cancelled, notice that they are dead, and find the primary through Sentinel.

redis-py writes within `asyncio.wait_for`, which on Python 3.11 forgets a cancellation that comes in the moment when the
write is done (https://github.com/python/cpython/issues/86296, mended in 3.12). Whoever cancels a task that talks to
Redis would wait for it for ever.

Firewalls and servers drop idle connections, some without a word. Before a command is sent on a connection that was idle
for a moment it is asked for a PING; if none comes it is made anew. Nothing was sent yet, so nothing can happen twice.
"""

import asyncio
import socket
from collections.abc import Iterable
from typing import Any

from redis.asyncio.connection import AbstractConnection, Connection, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.sentinel import Sentinel
from redis.exceptions import ConnectionError, TimeoutError

PING_S = 2.0  # how long a connection that was idle may take to answer
KEEPALIVE = {  # seconds of silence, seconds between probes, probes; by the names that this system has
    getattr(socket, name): value
    for name, value in {"TCP_KEEPIDLE": 20, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3}.items()
    if hasattr(socket, name)
}


class _Cancellable(AbstractConnection):
    connecting = False

    async def connect(self) -> None:
        """Connect, without health checks of the connection meanwhile."""
        self.connecting = True
        try:
            await super().connect()  # type: ignore[no-untyped-call]
        finally:
            self.connecting = False

    async def send_packed_command(self, command: bytes | str | Iterable[bytes], check_health: bool = True) -> None:
        """Send a command; raises CancelledError also where `asyncio.wait_for` would not."""
        task = asyncio.current_task()
        cancelled = task.cancelling() if task else 0
        await super().send_packed_command(command, check_health)
        if task and task.cancelling() > cancelled:
            await self.disconnect(nowait=True)  # or the answer would be taken for that of the next command
            raise asyncio.CancelledError

    async def check_health(self) -> None:
        """Send PING after an idle moment, and connect anew if there is no answer."""
        if self.connecting:
            return
        try:
            async with asyncio.timeout(PING_S):
                await super().check_health()  # type: ignore[no-untyped-call]
        except (ConnectionError, TimeoutError, OSError):  # asyncio's TimeoutError is an OSError
            await self.disconnect(nowait=True)
            await self.connect()


class CancellableConnection(_Cancellable, Connection):
    """By TCP."""


class CancellableSSLConnection(_Cancellable, SSLConnection):
    """By TCP and TLS."""


class CancellableUnixConnection(_Cancellable, UnixDomainSocketConnection):
    """By a socket file."""


class _FromSentinel(Connection):
    """Connects to whichever server Sentinel calls the primary at that moment."""

    def __init__(self, *, sentinel: Sentinel, primary: str, **options: Any) -> None:
        super().__init__(**options)
        self.sentinel, self.primary = sentinel, primary

    async def _connect(self) -> None:
        self.host, self.port = await self.sentinel.discover_master(self.primary)
        await super()._connect()  # type: ignore[no-untyped-call]


class SentinelConnection(_FromSentinel, CancellableConnection):
    """By TCP, to the primary."""


class SentinelSSLConnection(_FromSentinel, CancellableSSLConnection):
    """By TCP and TLS, to the primary."""

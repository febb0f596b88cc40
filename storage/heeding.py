"""Connections to Redis that heed a cancellation.

redis-py writes within `asyncio.wait_for`, which on Python 3.11 forgets a cancellation that comes in the moment when the
write is done (https://github.com/python/cpython/issues/86296, mended in 3.12). Whoever cancels a task that talks to
Redis would wait for it for ever.
"""

import asyncio
from collections.abc import Iterable

from redis.asyncio.connection import AbstractConnection, Connection, SSLConnection, UnixDomainSocketConnection


class _Heeding(AbstractConnection):
    async def send_packed_command(self, command: bytes | str | Iterable[bytes], check_health: bool = True) -> None:
        """Send a command; raises CancelledError also where `asyncio.wait_for` would not."""
        task = asyncio.current_task()
        cancelled = task.cancelling() if task else 0
        await super().send_packed_command(command, check_health)
        if task and task.cancelling() > cancelled:
            await self.disconnect(nowait=True)  # or the answer would be taken for that of the next command
            raise asyncio.CancelledError


class HeedingConnection(_Heeding, Connection):
    """By TCP."""


class HeedingSSLConnection(_Heeding, SSLConnection):
    """By TCP and TLS."""


class HeedingUnixConnection(_Heeding, UnixDomainSocketConnection):
    """By a socket file."""


HEEDING = {
    Connection: HeedingConnection,
    SSLConnection: HeedingSSLConnection,
    UnixDomainSocketConnection: HeedingUnixConnection,
}  # what stands for each of redis-py's

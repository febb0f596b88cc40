"""The client of Redis: a pool that waits rather than fail, and keys that begin with the prefix of this deployment."""

import asyncio
import random
from typing import Any

from arq.connections import ArqRedis
from redis.asyncio import BlockingConnectionPool
from redis.asyncio.client import Pipeline
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import ExponentialBackoff
from redis.exceptions import AuthenticationError, BusyLoadingError, ConnectionError, ReadOnlyError

from storage.queue.connections import (
    KEEPALIVE,
    CancellableConnection,
    CancellableSSLConnection,
    CancellableUnixConnection,
    SentinelConnection,
    SentinelSSLConnection,
)
from storage.queue.redis_url import RedisAddress

CONNECT_S, ANSWER_S = 2, 5  # a Redis that is cut off may neither refuse nor answer
IDLE_S = 2  # a connection that was idle for so long is asked for a PING first
ROOM_S = 10  # how long one waits for a connection, of the pool or of a server that allows no more
NOT_DONE = (ReadOnlyError, BusyLoadingError)  # a server that answers so has done nothing: the next one may be asked
TRIES, FIRST_PAUSE_S, PAUSE_S = 4, 0.05, 0.5
REPEATABLE = {"EXISTS", "GET", "HGETALL", "HMGET", "LRANGE", "MGET", "PING", "TIME", "TTL", "ZCARD"}  # which only read
REPEATABLE |= {"ZMSCORE", "ZRANGE", "ZRANGEBYSCORE", "ZSCORE"}
ALL_KEYS = {"DEL", "EXISTS", "MGET", "TOUCH", "UNLINK", "WATCH"}  # all arguments of these are keys
COUNTED_KEYS = {"EVAL", "EVALSHA"}  # of these a number says how many
CHANNELS = {"PSUBSCRIBE", "PUBLISH", "PUNSUBSCRIBE", "SUBSCRIBE", "UNSUBSCRIBE"}
NO_KEYS = {"ACL", "CLIENT", "CONFIG", "DBSIZE", "DISCARD", "EXEC", "FLUSHALL", "FLUSHDB", "HELLO", "INFO", "MULTI"}
NO_KEYS |= {"PING", "SCAN", "SCRIPT", "SHUTDOWN", "TIME", "UNWATCH", *CHANNELS}


class RetryingPool(BlockingConnectionPool):
    """At most so many connections; who wants one more waits, also where the server allows no more."""

    async def get_connection(self, *_: Any, **__: Any) -> AbstractConnection:
        """Return a connection that works, as soon as there is one; raises ConnectionError after ROOM_S."""
        loop = asyncio.get_running_loop()
        until_s = loop.time() + ROOM_S
        while True:
            try:
                connection: AbstractConnection = await super().get_connection()
                return connection
            except ConnectionError as error:
                if not _is_crowded(error) or loop.time() > until_s:
                    raise
                await asyncio.sleep(random.uniform(0.05, 0.2))

    async def release(self, connection: AbstractConnection) -> None:
        """Take a connection back. Those that are connected are given out first: a new one may be refused."""
        await super().release(connection)
        self._available_connections.sort(key=lambda each: each.is_connected)


def _is_crowded(error: ConnectionError) -> bool:
    """Whether the server hung up on a new connection as one too many, as far as can be seen."""
    cause: BaseException | None = error
    while cause:
        if "max number of clients" in str(cause) or isinstance(cause, ConnectionResetError):
            return True
        cause = cause.__cause__ or cause.__context__
    return False


class _PrefixedPipeline(Pipeline):
    prefix = ""

    def execute_command(self, *args: Any, **options: Any) -> Any:
        """Queue or send a command, with the prefix before its keys."""
        return super().execute_command(*prefixed(self.prefix, args), **options)


class PrefixedRedis(ArqRedis):
    """arq's client, all of whose keys begin with a prefix, those that arq names itself included.

    arq has no setting for that: the keys of its jobs are constants. But each goes through here. Channels of pub/sub
    are not keys; `channel` names them.
    """

    prefix = ""

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        """Send a command, with the prefix before its keys; once more if the connection broke and nothing can double."""
        try:
            return await self._once(*args, **options)
        except AuthenticationError:
            raise
        except ConnectionError:
            if args[0] not in REPEATABLE:
                raise
            return await self._once(*args, **options)

    async def _once(self, *args: Any, **options: Any) -> Any:
        return await super().execute_command(  # type: ignore[no-untyped-call]
            *prefixed(self.prefix, args), **options
        )

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> _PrefixedPipeline:
        """Begin a pipeline of the same prefix."""
        pipeline = _PrefixedPipeline(self.connection_pool, self.response_callbacks, transaction, shard_hint)
        pipeline.prefix = self.prefix
        return pipeline

    async def aclose(self, close_connection_pool: bool | None = None) -> None:
        """Close all connections, those to Sentinels among them."""
        await super().aclose(close_connection_pool)
        if sentinel := self.connection_pool.connection_kwargs.get("sentinel"):
            for each in sentinel.sentinels:
                await each.aclose()

    def channel(self, name: str) -> str:
        """The channel of that name in this deployment, for PUBLISH and SUBSCRIBE."""
        return self.prefix + name


def prefixed(prefix: str, args: tuple[Any, ...]) -> tuple[Any, ...]:
    """A command with the prefix before each of its keys.

    >>> prefixed("a:", ("SET", "key", "value"))
    ('SET', 'a:key', 'value')
    """
    name = args[0].split(" ")[0].upper() if prefix else "PING"
    if name in NO_KEYS:
        return args
    first, last = 1, 2
    if name in ALL_KEYS:
        last = len(args)
    elif name in COUNTED_KEYS:
        first, last = 3, 3 + int(args[2])
    keys = (prefix + (key.decode() if isinstance(key, bytes) else str(key)) for key in args[first:last])
    return (*args[:first], *keys, *args[last:])


def client(address: RedisAddress, prefix: str, connections: int) -> PrefixedRedis:
    """Make a client, which connects when it is used."""
    options: dict[str, Any] = {
        "max_connections": connections,
        "timeout": ROOM_S,
        "socket_connect_timeout": CONNECT_S,
        "socket_timeout": ANSWER_S,
        "health_check_interval": IDLE_S,
        "retry": Retry(ExponentialBackoff(PAUSE_S, FIRST_PAUSE_S), TRIES, NOT_DONE),
        "retry_on_error": list(NOT_DONE),
        **_connection_options(address),
        **address.options,
    }
    redis = PrefixedRedis(connection_pool=RetryingPool(**options))
    redis.prefix, redis.auto_close_connection_pool = prefix, True  # it owns the pool
    return redis


def _connection_options(address: RedisAddress) -> dict[str, Any]:
    if not address.hosts:
        return {"connection_class": CancellableUnixConnection}
    kept_alive = {"socket_keepalive": True, "socket_keepalive_options": KEEPALIVE}
    if not address.primary:
        host, port = address.hosts[0]
        kind: type[AbstractConnection] = CancellableSSLConnection if address.tls else CancellableConnection
        return {"connection_class": kind, "host": host, "port": port, **kept_alive}
    asked: dict[str, Any] = {"socket_timeout": CONNECT_S, "socket_connect_timeout": CONNECT_S, "ssl": address.tls}
    tls = {key: value for key, value in address.options.items() if key.startswith("ssl_")}
    sentinel = Sentinel(address.hosts, sentinel_kwargs=asked | tls | address.sentinel_options)  # type: ignore[no-untyped-call]
    kind = SentinelSSLConnection if address.tls else SentinelConnection
    return {"connection_class": kind, "sentinel": sentinel, "primary": address.primary, **kept_alive}

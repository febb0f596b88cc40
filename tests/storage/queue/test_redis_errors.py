"""What answers of Redis mean that the servers of the tests do not give: of older, hosted and proxied ones."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from storage.failures import Failure
from storage.queue.broker import open_client
from storage.queue.redis_errors import ERRORS, meaning_of

OUTAGE, PERMANENT, UNKNOWN = Failure.OUTAGE, Failure.PERMANENT, Failure.UNKNOWN
OLD_SCRIPT = "ERR Error running script (call to f_0123): @user_script:7: @user_script: 7: "


@asynccontextmanager
async def answering(answer: bytes) -> AsyncIterator[str]:
    """A server that gives one answer to whatever is said; yields its URL."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):  # whoever is answered so hangs up
            while await reader.read(2**16):
                writer.write(answer)
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0"
    finally:
        server.close()


@pytest.mark.parametrize(
    ("answer", "failure", "says"),
    [
        (f"{OLD_SCRIPT}-OOM command not allowed when used memory > 'maxmemory'.", OUTAGE, "its memory is full"),
        (f"{OLD_SCRIPT}-READONLY You can't write against a read only replica.", OUTAGE, "it is a replica"),
        (f"{OLD_SCRIPT}-MISCONF Redis is configured to save RDB snapshots", OUTAGE, "cannot save its data"),
        ("READONLY You can't write against a read only replica. script: f_0", OUTAGE, "it is a replica"),
        ("LOADING Redis is loading the dataset in memory", OUTAGE, "loading its data"),
        ("ERR max daily request limit exceeded. Limit: 10000, Usage: 10000.", OUTAGE, "limit of requests"),
        ("ERR DB capacity quota exceeded. Limit: 100", OUTAGE, "the space that its provider allows"),
        ("ERR Out of memory", OUTAGE, "its memory is full"),
        ("ERR Script attempted to access keys of different slots", PERMANENT, "Redis Cluster"),
        ("ERR failover in progress", OUTAGE, "failover"),
        ("REDIRECT 127.0.0.1:7000", OUTAGE, "failover"),
        ("ERR Redis is shutting down", OUTAGE, "shutting down"),
        ("ERR operation not permitted", PERMANENT, "it wants a password"),
        ("NOAUTH Authentication required.", PERMANENT, "it wants a password"),
        ("MOVED 3999 127.0.0.1:6381", PERMANENT, "Redis Cluster"),
        ("ERR Proxy error: upstream hidden", UNKNOWN, "it answered with an error"),
        ("SOMETHING new: hidden", UNKNOWN, "it answered SOMETHING"),
    ],
)
async def test_each_answer_is_an_outage_or_for_good_or_unknown(answer: str, failure: Failure, says: str) -> None:
    async with answering(f"-{answer}\r\n".encode()) as url:
        redis = open_client(url)
        with pytest.raises(ERRORS) as caught:
            await redis.ping()
        await redis.aclose()
    meaning = meaning_of(caught.value)
    assert meaning.failure is failure and says in meaning.reason and "hidden" not in meaning.reason


@pytest.mark.parametrize(
    "error",
    [
        OSError(1, "Operation not permitted"),
        RedisConnectionError("Error 1 connecting to 10.0.0.1:6379. Operation not permitted."),
    ],
)
def test_a_firewall_that_permits_no_connection_is_not_called_a_wrong_password(error: Exception) -> None:
    meaning = meaning_of(error)
    assert meaning.failure is OUTAGE and not meaning.reached and "password" not in meaning.reason


@pytest.mark.parametrize("answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"SSH-2.0-OpenSSH_9.6\r\n"])
async def test_what_does_not_speak_redis_is_waited_for_and_then_given_up(answer: bytes) -> None:
    async with answering(answer) as url:
        redis = open_client(url)
        with pytest.raises(ERRORS) as caught:
            await redis.ping()
        await redis.aclose()
    assert meaning_of(caught.value).failure is UNKNOWN

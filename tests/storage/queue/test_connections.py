"""A task that talks to Redis ends when it is cancelled, whenever that comes."""

import asyncio

import pytest
from arq.connections import ArqRedis

from storage.queue import broker
from tests.conftest import Stack

TASKS = 300


@pytest.mark.parametrize("spin", range(6))
async def test_tasks_that_talk_to_redis_end_when_they_are_cancelled(stack: Stack, spin: int) -> None:
    redis = await broker.connect(stack.redis_url)

    async def talk() -> None:
        while True:
            await redis.get("darkroom:nothing")

    try:
        tasks = [asyncio.create_task(talk()) for _ in range(TASKS)]
        for _ in range(20 + spin):  # into the midst of connecting, writing and reading
            await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
            await asyncio.sleep(0)
        _, running = await asyncio.wait(tasks, timeout=60)
        for task in running:
            task.cancel()
        assert not running
        assert await redis.ping()
    finally:
        await redis.aclose()


async def test_whoever_is_cancelled_while_connecting_leaves_no_connection(redis: ArqRedis) -> None:
    url = f"unix://{redis.connection_pool.connection_kwargs['path']}"
    ends = set[type]()
    for turns in range(60):  # of the loop: into each moment of it
        connecting = asyncio.create_task(broker.connect(url))
        for _ in range(turns):
            await asyncio.sleep(0)
        connecting.cancel()
        (connected,) = await asyncio.gather(connecting, return_exceptions=True)
        ends.add(type(connected))
        if isinstance(connected, ArqRedis):
            await connected.aclose()
    assert asyncio.CancelledError in ends
    async with asyncio.timeout(120):
        while len(await redis.client_list()) > 1:  # noqa: ASYNC110
            await asyncio.sleep(0.02)

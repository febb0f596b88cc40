"""What is done to processes and connections of a deployment.

Each fault lasts up to some seconds, and is over when it returns.
"""

import asyncio
import signal
import time
from contextlib import suppress
from random import Random

import psutil
from arq.constants import in_progress_key_prefix
from redis.exceptions import RedisError

from storage.errors import DarkroomError
from tests.chaos.scene import ENDS_WITHIN_S, Scene
from tests.chaos.worker import Worker

LONGEST_S = 7.0  # of a fault that lasts: more than two leases


async def kill_worker(scene: Scene, chance: Random) -> None:
    """A machine loses power, one that works if there is any."""
    chance.choice([w for w in scene.workers if w.alive and w.working_on] or scene.workers).send(signal.SIGKILL)


async def end_worker(scene: Scene, chance: Random) -> None:
    """The machine is wanted back: SIGTERM."""
    await end_worker_process(scene, chance.choice(scene.workers))


async def end_worker_process(scene: Scene, worker: Worker) -> None:
    """Ask a worker to end, and note if it does not in time; the keeper starts it again."""
    process = worker.process
    worker.send(signal.SIGTERM)
    if process:
        try:
            await asyncio.wait_for(asyncio.to_thread(process.wait), ENDS_WITHIN_S)
        except TimeoutError:
            scene.slow_ends.append(worker.name)
            process.kill()


async def freeze_worker(scene: Scene, chance: Random) -> None:
    """The machine sleeps, and wakes up believing that no time has passed."""
    worker, frozen_s = chance.choice(scene.workers), chance.uniform(1, LONGEST_S)
    worker.send(signal.SIGSTOP)
    await asyncio.sleep(frozen_s)
    worker.send(signal.SIGCONT)


async def kill_engine(scene: Scene, chance: Random) -> None:
    """The machine runs out of memory."""
    if engine := chance.choice(scene.workers).engine():
        with suppress(psutil.Error):
            engine.kill()


async def cut_off_from_redis(scene: Scene, chance: Random) -> None:
    """One worker hears nothing from Redis, not even a refusal."""
    await chance.choice(scene.workers).relay.cut(chance.uniform(1, LONGEST_S))


async def cut_off_from_store(scene: Scene, chance: Random) -> None:
    """One worker hears nothing from the store."""
    wire, for_s = chance.choice(scene.workers).wire, chance.uniform(1, LONGEST_S)
    wire.cut_until_s = time.monotonic() + for_s
    await asyncio.sleep(for_s)


async def store_trouble(scene: Scene, chance: Random) -> None:
    """The store is slow, answers with errors, cuts its answers short, or loses them, for everybody."""
    for_s = chance.uniform(1, LONGEST_S)
    for wire in [scene.bot_wire, *(worker.wire for worker in scene.workers)]:
        wire.bad_until_s = time.monotonic() + for_s
    await asyncio.sleep(for_s)


async def restart_redis(scene: Scene, chance: Random) -> None:
    """Redis is away for a while, and comes back with what it had."""
    async with scene.redis_changes:
        await scene.restart_redis("queue", chance.uniform(0, LONGEST_S))


async def replace_redis(scene: Scene, chance: Random) -> None:
    """Redis is lost and another one takes its place, which knows nothing."""
    scene.redis_emptied = True
    async with scene.redis_changes:
        await scene.restart_redis(f"queue-{time.monotonic_ns()}", chance.uniform(0, 2))


async def empty_redis(scene: Scene, chance: Random) -> None:
    """Somebody says FLUSHALL."""
    scene.redis_emptied = True
    with suppress(RedisError, OSError):
        await scene.redis.flushall()


async def end_leases(scene: Scene, chance: Random) -> None:
    """The clock of Redis jumps ahead: every lease is over."""
    with suppress(RedisError, OSError):
        async for key in scene.redis.scan_iter(match=f"{in_progress_key_prefix}*"):
            await scene.redis.delete(key)


async def restart_bot(scene: Scene, chance: Random) -> None:
    """The bot ends and is started again, while store or queue may be away."""
    async with scene.redis_changes:
        await scene.chat.close()
        await scene.app.close()
        while True:
            try:
                return await scene.open_chat()
            except DarkroomError:
                await asyncio.sleep(0.5)

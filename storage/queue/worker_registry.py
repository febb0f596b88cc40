"""Which workers live, and what each lacks to take a job: a key that each renews, and a sorted set of their ids."""

from collections.abc import Iterable

from arq.connections import ArqRedis

from storage.kinds import KINDS

WORKER_SEEN_S = 10  # a worker that has not beaten for this long counts as gone
REMEMBERED_S = 60  # how long it is in the set of workers, by Redis's clock

REGISTER = """
local now = redis.call('time')[1]
redis.call('set', KEYS[1], ARGV[2], 'EX', ARGV[3])
redis.call('zadd', KEYS[2], now, ARGV[1])
redis.call('zremrangebyscore', KEYS[2], '-inf', now - ARGV[4])
"""  # the set names the keys to look at, so that nobody has to search all keys for them


def worker_key(worker: str, queue: str) -> str:
    """Key that a living worker renews, one for each queue that it serves; its value is what the worker lacks."""
    return f"darkroom:worker:{queue}:{worker}"


def workers_key(kind: str) -> str:
    """Key of the workers that serve a kind of job: a sorted set of ids, by when they were heard last."""
    return f"darkroom:workers:{kind}"


async def register_worker(redis: ArqRedis, worker: str, kinds: Iterable[str], lack: str) -> None:
    """Renew a worker's registration, with what it lacks to take a job."""
    register = redis.register_script(REGISTER)
    for kind in kinds:
        keys = [worker_key(worker, kind), workers_key(kind)]
        await register(keys=keys, args=[worker, lack, WORKER_SEEN_S, REMEMBERED_S])


async def unregister_worker(redis: ArqRedis, worker: str, kinds: Iterable[str]) -> None:
    """Remove a worker that ends, or is not to be counted on."""
    for kind in kinds:
        await redis.delete(worker_key(worker, kind))
        await redis.zrem(workers_key(kind), worker)


async def unregister_all(redis: ArqRedis) -> None:
    """Drop the signs of life of all workers."""
    for kind in KINDS:
        for worker in await redis.zrange(workers_key(kind), 0, -1):
            await unregister_worker(redis, worker.decode(), [kind])


async def living_workers(redis: ArqRedis, kind: str) -> list[str]:
    """What each living worker that serves this kind of job lacks at the moment to take one: empty for most."""
    ids = await redis.zrange(workers_key(kind), 0, -1)
    lacks = await redis.mget([worker_key(worker.decode(), kind) for worker in ids]) if ids else []
    return [lack.decode() for lack in lacks if lack is not None]

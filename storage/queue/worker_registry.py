"""Which workers live, what each lacks to take a job, and what it does: keys that each renews, and sets of their ids."""

import time
from collections.abc import Iterable, Sequence
from contextlib import suppress

from arq.connections import ArqRedis

from storage.contract.records import parsed_in_part
from storage.contract.worker_status import WorkerStatus
from storage.errors import Damaged, Newer
from storage.kinds import KINDS

WORKER_SEEN_S = 10  # a worker that has not beaten for this long counts as gone
REMEMBERED_S = 60  # how long it is in the set of workers, by Redis's clock
RENEWED_S = 3.0  # between two renewals of what has not changed
LISTED_S = 20.0  # the same of a worker's place in the set

REGISTER = """
local now = redis.call('time')[1]
for i = 1, #KEYS, 2 do
  redis.call('set', KEYS[i], ARGV[2], 'EX', ARGV[3])
  redis.call('zadd', KEYS[i + 1], now, ARGV[1])
  redis.call('zremrangebyscore', KEYS[i + 1], '-inf', now - ARGV[4])
end
"""  # the set names the keys to look at, so that nobody has to search all keys for them


def worker_key(worker: str, queue: str) -> str:
    """Key that a living worker renews, one for each queue that it serves; its value is what the worker lacks."""
    return f"darkroom:worker:{queue}:{worker}"


def workers_key(kind: str) -> str:
    """Key of the workers that serve a kind of job: a sorted set of ids, by when they were heard last."""
    return f"darkroom:workers:{kind}"


def status_key(worker: str) -> str:
    """Key of what a worker says that it does."""
    return f"darkroom:worker-status:{worker}"


class Registration:
    """The registration of one worker, renewed with as few commands as will do."""

    def __init__(self, redis: ArqRedis, worker: str) -> None:
        self.redis, self.worker = redis, worker
        self._registered: tuple[list[str], str] | None = None  # kinds and lack
        self._renewed_s = self._listed_s = 0.0

    async def renew(self, kinds: Sequence[str], lack: str, status: WorkerStatus | None = None) -> None:
        """Say that the worker lives, what it serves and what it lacks, unless that was said a moment ago."""
        now_s, says = time.monotonic(), ([*kinds], lack)
        is_new = says != self._registered
        if not is_new and now_s - self._renewed_s < RENEWED_S:
            return
        # What was emptied meanwhile, or lapsed, is written whole.
        if is_new or now_s - self._listed_s > LISTED_S or not await self._renewed(*says):
            await register_worker(self.redis, self.worker, *says)
            self._listed_s = now_s
        if status:
            await self.redis.set(status_key(self.worker), status.model_dump_json(), ex=WORKER_SEEN_S)
        self._registered, self._renewed_s = says, now_s

    async def withdraw(self) -> None:
        """Take back that the worker is to be counted on."""
        if self._registered:
            await unregister_worker(self.redis, self.worker, self._registered[0])
            self._registered = None

    async def _renewed(self, kinds: Sequence[str], lack: str) -> bool:
        """Renew the keys that are there; return whether all were."""
        async with self.redis.pipeline(transaction=False) as all_of:
            for kind in kinds:
                all_of.set(worker_key(self.worker, kind), lack, ex=WORKER_SEEN_S, xx=True)
            return all(await all_of.execute())


async def register_worker(redis: ArqRedis, worker: str, kinds: Iterable[str], lack: str) -> None:
    """Register a worker for some seconds, with what it lacks to take a job."""
    keys = [key for kind in kinds for key in (worker_key(worker, kind), workers_key(kind))]
    await redis.register_script(REGISTER)(keys=keys, args=[worker, lack, WORKER_SEEN_S, REMEMBERED_S])


async def unregister_worker(redis: ArqRedis, worker: str, kinds: Iterable[str]) -> None:
    """Remove a worker that ends, or is not to be counted on."""
    for kind in kinds:
        await redis.delete(worker_key(worker, kind), status_key(worker))
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


async def worker_statuses(redis: ArqRedis) -> list[WorkerStatus]:
    """What the living workers say that they do, by their ids; workers of older versions say nothing."""
    ids = {worker.decode() for kind in KINDS for worker in await redis.zrange(workers_key(kind), 0, -1)}
    bodies = await redis.mget([status_key(worker) for worker in sorted(ids)]) if ids else []
    statuses = []
    for body in filter(None, bodies):
        with suppress(Damaged, Newer):
            statuses.append(parsed_in_part(WorkerStatus, body, "the status of a worker"))
    return statuses

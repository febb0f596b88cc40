"""The open jobs of one kind: who waits, whose turn is next, how many of one person or space there are.

arq's queue says what is queued, its marks what runs. Beside them stand who asked for each job and when everybody was
served last, by Redis's own clock. All of it can be rebuilt.
"""

import json
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import lru_cache
from statistics import median
from typing import Any

from arq.connections import ArqRedis
from arq.constants import in_progress_key_prefix, job_key_prefix

from storage.contract.jobs import Job
from storage.kinds import KINDS, kind_of
from storage.queue.broker import EXPIRES_MS, RUN_JOB, queue_name
from storage.queue.fair_share import Entry, Name, fair_order
from storage.queue.subscription import notify_queued

AT_ONCE = datetime.fromtimestamp(1, UTC)  # when arq may run a job: long ago by any clock, for clocks need not agree
RESERVED_S = 60  # how long an open job counts that is not queued yet: its photos are being stored
REMEMBERED = 10_000  # people and spaces whose last turn is known; who is dropped had it long ago
TRIES = 3  # to queue a job
MEASURED = 20  # jobs from which the usual time of a job is told

ENTRY = """
local function entry(body)
  local fine, read = pcall(cjson.decode, body or '')
  if fine and type(read) == 'table' and tonumber(read[1]) and read[2] and read[3] then return unpack(read) end
  return 0, '', ''
end
"""  # one that cannot be read is of a job that has begun, of nobody: it holds up no other
ADMIT = f"""{ENTRY}
local jobs, person, space = redis.call('hgetall', KEYS[1]), 0, 0
for i = 1, #jobs, 2 do
  local since, in_space, owner = entry(jobs[i + 1])
  if jobs[i] == ARGV[1] then return {{}} end
  if since < tonumber(ARGV[5]) and not redis.call('zscore', KEYS[2], jobs[i]) then
    redis.call('hdel', KEYS[1], jobs[i])
    redis.call('hdel', KEYS[3], jobs[i])
  elseif in_space == ARGV[3] then
    space = space + 1
    if owner == ARGV[4] then person = person + 1 end
  end
end
if person >= tonumber(ARGV[6]) or space >= tonumber(ARGV[7]) then return {{person, space}} end
redis.call('hset', KEYS[1], ARGV[1], ARGV[2])
return {{}}
"""  # what has ended is dropped on the way: it has begun, or is not queued for long, and is in no queue
BEGIN = f"""{ENTRY}
local function begin(open, served, job, remembered)
  local since, space, owner = entry(redis.call('hget', open, job))
  if since == 0 then return end
  local time = redis.call('time')
  local now = time[1] .. string.format('%06d', time[2])
  redis.call('zadd', served, now, space, now, space .. '\\n' .. owner)
  redis.call('zremrangebyrank', served, 0, -1 - remembered)
  redis.call('hset', open, job, cjson.encode({{0, space, owner}}))
end
"""  # for the script that claims a job: person and space have had their turn, and the job goes first if it begins again


@lru_cache(10_000)
def _entry(body: bytes | None) -> Entry:
    """Read an entry as the scripts do."""
    with suppress(ValueError, TypeError, RecursionError):
        since_us, space, owner = json.loads(body or b"")
        return Entry(int(since_us), str(space), str(owner))
    return Entry(0, "", "")


async def queued_jobs(redis: ArqRedis) -> set[str]:
    """Ids of all jobs that are queued or run, of every kind."""
    return {job.decode() for kind in KINDS for job in await redis.zrange(queue_name(kind), 0, -1)}


class JobQueue:
    """The queue of one kind of job: its open jobs, in fair order."""

    def __init__(self, redis: ArqRedis, kind: str) -> None:
        self.kind, self.queue = kind, queue_name(kind)
        self._redis: Any = redis  # by redis-py's hints a hash may answer at once or later
        self._admit = redis.register_script(ADMIT)
        names = ("open", "served", "took", "units")
        self._open, self._served, self._took, self._units = (f"darkroom:{name}:{kind}" for name in names)

    async def admit(self, job: Job, of_person: int, of_space: int) -> tuple[int, int] | None:
        """Reserve a place for a job, or return how many jobs of person and space are open if that is too many."""
        entry = Entry(await self._now_us(), job.space, job.owner)
        lapsed_us = entry.since_us - RESERVED_S * 10**6
        args = job.id, json.dumps(entry), job.space, job.owner, lapsed_us, of_person, of_space
        counts = await self._admit(keys=[self._open, self.queue, self._units], args=args)
        return tuple(counts) if counts else None

    async def enqueue(self, job: Job) -> bool:
        """Queue a job that is written down; tell whether it was not queued yet."""
        entry = Entry(await self._now_us(), job.space, job.owner)
        async with self._redis.pipeline(transaction=False) as both:
            both.hsetnx(self._open, job.id, json.dumps(entry))
            both.hset(self._units, job.id, kind_of(job).units(job))
            await both.execute()
        for _ in range(TRIES):
            queued = await self._redis.enqueue_job(
                RUN_JOB,
                job.id,
                _job_id=job.id,
                _queue_name=self.queue,
                _defer_until=AT_ONCE,
                _expires=EXPIRES_MS // 1000,
            )
            if queued:
                await notify_queued(self._redis, self.kind)
            if queued or await self._redis.exists(job_key_prefix + job.id):
                return queued is not None
        raise ConnectionError(f"Redis did not queue job {job.id}.")  # arq says nothing where its connection breaks

    async def order(self, among: Iterable[bytes] | None = None) -> tuple[list[str], list[str]]:
        """Ids of the jobs that run, and of those that wait, with the one whose turn is next first.

        They are all that are queued, or `among` some of them.
        """
        queued = [job.decode() for job in among or await self._redis.zrange(self.queue, 0, -1)]
        if not queued:
            return [], []
        async with self._redis.pipeline(transaction=False) as both:
            both.mget([in_progress_key_prefix + job for job in queued])
            both.hmget(self._open, queued)
            marks, entries = await both.execute()
        running = [job for job, mark in zip(queued, marks, strict=True) if mark]
        waiting = {job: _entry(body) for job, mark, body in zip(queued, marks, entries, strict=True) if not mark}
        return running, fair_order(waiting, await self._last_us(waiting.values()))

    async def owners(self, jobs: Sequence[str]) -> dict[str, Name]:
        """Space and person of jobs that are open."""
        entries = await self._redis.hmget(self._open, jobs) if jobs else []
        return {job: _entry(body).names[1] for job, body in zip(jobs, entries, strict=True)}

    async def units(self, jobs: Sequence[str]) -> dict[str, int]:
        """How many units of work jobs are that were queued; one for those of older versions."""
        counts = await self._redis.hmget(self._units, jobs) if jobs else []
        return {job: int(count) if count and count.isdigit() else 1 for job, count in zip(jobs, counts, strict=True)}

    async def _last_us(self, entries: Iterable[Entry]) -> dict[Name, float]:
        names = list({name for entry in entries for name in entry.names})
        last_us = await self._redis.zmscore(self._served, list(map("\n".join, names))) if names else []
        return {name: us for name, us in zip(names, last_us, strict=True) if us}

    @property
    def turn_keys(self) -> list[str]:
        """The keys that BEGIN reads and writes."""
        return [self._open, self._served]

    async def leave(self, job: str) -> None:
        """Note that a job that waited is not open any more. One that has begun need not say so."""
        async with self._redis.pipeline(transaction=False) as both:
            both.hdel(self._open, job)
            both.hdel(self._units, job)
            await both.execute()

    async def measured(self, seconds: float) -> None:
        """Note how long a job took."""
        async with self._redis.pipeline(transaction=True) as all_of:
            all_of.lpush(self._took, seconds)
            all_of.ltrim(self._took, 0, MEASURED - 1)
            await all_of.execute()

    async def usual_s(self) -> float | None:
        """How long jobs took lately, in the middle; None if none was measured."""
        took = await self._redis.lrange(self._took, 0, -1)
        with suppress(ValueError):
            return median(map(float, took)) if took else None
        return None

    async def _now_us(self) -> int:
        seconds, rest_us = await self._redis.time()
        return int(seconds) * 10**6 + int(rest_us)

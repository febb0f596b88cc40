"""What bot and worker keep in Redis: progress, signs of life; `storage.queue.job_queue` has the queues.

Jobs are queued by name with their id as the only argument; nothing is ever pickled.
"""

import json
import logging
import time
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, Literal

from arq.connections import ArqRedis
from pydantic import BaseModel
from tenacity import RetryCallState, retry, retry_if_exception, wait_random_exponential

from storage.contract.progress import Progress
from storage.contract.records import parsed_in_part
from storage.errors import Damaged, Newer, SetupError
from storage.failures import Failure
from storage.probes import failed, sentences
from storage.queue.redis_client import PrefixedRedis, client
from storage.queue.redis_errors import ERRORS, meaning_of
from storage.queue.redis_probe import probe_redis
from storage.queue.redis_url import parse_redis_url, without_secrets
from storage.settings.shared import SharedSettings

log = logging.getLogger(__name__)

QUEUES = {"train": "darkroom:train", "imagine": "darkroom:imagine"}  # of each kind of job, as `queue_name` has it
RUN_JOB = "run_job"  # the one function that workers offer
EXPIRES_MS = 30 * 24 * 3600 * 1000  # a queued job's body; arq's day is short for a long queue
PROGRESS_TTL_S = 24 * 3600
UNKNOWN_S = 120.0  # a failure of unknown kind is waited out for so long
EVENTS = "darkroom:events"  # the channel on which a `JobEvent` is published
CHANGES_TTL_S = 3600
FORGOTTEN_KEY, FORGOTTEN_TTL_S = "darkroom:forgotten", 3 * 3600
Strike = Literal["crash", "loss"]  # of the engine, of the whole worker
WORKER_SEEN_S = 10  # a worker that has not beaten for this long counts as gone
REMEMBERED_S = 60  # how long it is in the set of workers, by Redis's clock

REGISTER = """
local now = redis.call('time')[1]
redis.call('set', KEYS[1], ARGV[2], 'EX', ARGV[3])
redis.call('zadd', KEYS[2], now, ARGV[1])
redis.call('zremrangebyscore', KEYS[2], '-inf', now - ARGV[4])
"""  # the set names the keys to look at, so that nobody has to search all keys for them


class JobEvent(BaseModel):
    """What is published of a job: its progress, or, without one, that the store has something new of it."""

    job: str
    progress: Progress | None = None


class NoRedis(SetupError):
    """There is no Redis that lets us in and does what is needed, or not yet."""

    def __init__(self, message: str, failure: Failure = Failure.OUTAGE) -> None:
        super().__init__(message)
        self.failure = failure


def queue_name(kind: str) -> str:
    """Arq's queue of a kind of job, one that only newer versions know among them."""
    return f"darkroom:{kind}"


def to_json(value: Any) -> bytes:
    """Serialise what arq stores; raises TypeError on what JSON cannot say."""
    return json.dumps(value, default=str).encode()


def from_json(data: bytes) -> Any:
    """Read what arq stored."""
    return json.loads(data)


async def connect(url: str, settings: SharedSettings | None = None) -> PrefixedRedis:
    """Open a pool on the Redis of `url`, proven to do all that is needed of it.

    Raises NoRedis in a sentence that says what does not work, or SetupError for what is no URL.
    """
    redis = open_client(url, settings)
    try:
        if failures := failed(await probe_redis(redis)):
            says = f"The Redis at {without_secrets(url)} cannot be used. {sentences(failures)}"
            raise NoRedis(says, failures[0].failure)
    except BaseException as error:  # whoever is cancelled meanwhile leaves no connection behind either
        await redis.aclose()
        if isinstance(error, ERRORS):
            raise no_redis(url, error) from error
        raise
    return redis


def open_client(url: str, settings: SharedSettings | None = None) -> PrefixedRedis:
    """Make a client that was not tried yet; raises SetupError for what is no URL."""
    settings = settings or SharedSettings()
    redis = client(parse_redis_url(url), settings.redis_prefix, settings.redis_connections)
    redis.job_serializer, redis.job_deserializer, redis.expires_extra_ms = to_json, from_json, EXPIRES_MS
    return redis


def no_redis(url: str, error: BaseException) -> NoRedis:
    """Say that the Redis of `url` cannot be used, and why."""
    meaning = meaning_of(error)
    where = without_secrets(url)
    if meaning.reached:
        return NoRedis(f"The Redis at {where} cannot be used: {meaning.reason}.", meaning.failure)
    return NoRedis(f"There is no Redis at {where}: {meaning.reason}. Is it running?", meaning.failure)


def _say_once(state: RetryCallState) -> None:
    if state.attempt_number == 1 and state.outcome:
        log.warning("%s I keep trying.", state.outcome.exception())


async def connect_patiently(url: str, settings: SharedSettings | None = None) -> PrefixedRedis:
    """Open a pool on the Redis of `url` as soon as there is one; raises NoRedis where waiting does not help."""
    began_s = time.monotonic()

    def passes(error: BaseException) -> bool:
        if not isinstance(error, NoRedis) or error.failure is Failure.PERMANENT:
            return False
        return error.failure is Failure.OUTAGE or time.monotonic() - began_s < UNKNOWN_S

    retrying = retry(retry=retry_if_exception(passes), wait=wait_random_exponential(max=5), before_sleep=_say_once)
    return await retrying(connect)(url, settings)


def progress_key(job: str) -> str:
    """Key of a job's newest progress."""
    return f"darkroom:progress:{job}"


def worker_key(worker: str, queue: str) -> str:
    """Key that a living worker renews, one for each queue that it serves; its value is what the worker lacks."""
    return f"darkroom:worker:{queue}:{worker}"


def workers_key(kind: str) -> str:
    """Key of the workers that serve a kind of job: a sorted set of ids, by when they were heard last."""
    return f"darkroom:workers:{kind}"


async def register_worker(redis: ArqRedis, worker: str, kinds: Iterable[str], lack: str) -> None:
    """Say that a worker lives, and what it lacks to take a job."""
    register = redis.register_script(REGISTER)
    for kind in kinds:
        keys = [worker_key(worker, kind), workers_key(kind)]
        await register(keys=keys, args=[worker, lack, WORKER_SEEN_S, REMEMBERED_S])


async def unregister_worker(redis: ArqRedis, worker: str, kinds: Iterable[str]) -> None:
    """Say that a worker lives no more, or is not to be counted on."""
    for kind in kinds:
        await redis.delete(worker_key(worker, kind))
        await redis.zrem(workers_key(kind), worker)


async def unregister_all(redis: ArqRedis) -> None:
    """Drop the signs of life of all workers."""
    for kind in QUEUES:
        for worker in await redis.zrange(workers_key(kind), 0, -1):
            await unregister_worker(redis, worker.decode(), [kind])


async def workers(redis: ArqRedis, kind: str) -> list[str]:
    """What each living worker that serves this kind of job lacks at the moment to take one: empty for most."""
    ids = await redis.zrange(workers_key(kind), 0, -1)
    lacks = await redis.mget([worker_key(worker.decode(), kind) for worker in ids]) if ids else []
    return [lack.decode() for lack in lacks if lack is not None]


async def write_progress(redis: ArqRedis, progress: Progress) -> int:
    """Publish where a job is; return how often `announce_change` was called for it."""
    event = JobEvent(job=progress.job, progress=progress).model_dump_json()
    async with redis.pipeline(transaction=False) as all_of:
        all_of.set(progress_key(progress.job), progress.model_dump_json(), ex=PROGRESS_TTL_S)
        all_of.get(_changes_key(progress.job))
        all_of.publish(events_channel(redis), event)
        written, changes, _ = await all_of.execute(raise_on_error=False)  # not every user may publish
    for answer in (written, changes):
        if isinstance(answer, Exception):
            raise answer
    return int(changes or 0)


def events_channel(redis: ArqRedis) -> str:
    """The channel on which each `JobEvent` of this deployment is published."""
    return redis.channel(EVENTS) if isinstance(redis, PrefixedRedis) else EVENTS


async def announce_change(redis: ArqRedis, job: str) -> None:
    """Have everybody look into the store who works on a job or follows it: it has ended, or is deleted."""
    async with redis.pipeline(transaction=False) as all_of:
        all_of.incr(_changes_key(job))
        all_of.expire(_changes_key(job), CHANGES_TTL_S)
        all_of.publish(events_channel(redis), JobEvent(job=job).model_dump_json())
        counted, *_ = await all_of.execute(raise_on_error=False)
    if isinstance(counted, Exception):
        raise counted


async def note_forgotten(redis: ArqRedis, subject: str) -> None:
    """Have workers drop what they have of a subject that is forgotten."""
    async with redis.pipeline(transaction=False) as all_of:
        all_of.zadd(FORGOTTEN_KEY, {subject: time.time()})
        all_of.zremrangebyscore(FORGOTTEN_KEY, 0, time.time() - FORGOTTEN_TTL_S)
        await all_of.execute()


async def forgotten(redis: ArqRedis) -> set[str]:
    """Ids of the subjects that were forgotten in the last hours."""
    return {subject.decode() for subject in await redis.zrange(FORGOTTEN_KEY, 0, -1)}


def _changes_key(job: str) -> str:
    return f"darkroom:changes:{job}"


async def read_progress(redis: ArqRedis, job: str) -> Progress | None:
    """The newest progress of a job, if any was published and can be understood: it is not worth more than that."""
    body = await redis.get(progress_key(job))
    with suppress(Damaged, Newer):
        return parsed_in_part(Progress, body, progress_key(job)) if body else None
    return None


async def count_strike(redis: ArqRedis, job: str, why: Strike) -> int:
    """Count an attempt that ended badly through no fault of the worker's; return how many of the job's have so."""
    async with redis.pipeline(transaction=True) as both:
        both.incr(_strikes_key(job, why))
        both.expire(_strikes_key(job, why), PROGRESS_TTL_S)
        count, _ = await both.execute()
    return int(count)


async def strikes(redis: ArqRedis, job: str, why: Strike) -> int:
    """How many of the job's attempts have ended so."""
    return int(await redis.get(_strikes_key(job, why)) or 0)


async def clear_strikes(redis: ArqRedis, job: str, why: Strike) -> None:
    """Count from nothing again."""
    await redis.delete(_strikes_key(job, why))


def _strikes_key(job: str, why: Strike) -> str:
    return f"darkroom:strikes:{why}:{job}"

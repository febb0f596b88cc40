"""What bot and worker keep in Redis: progress, signs of life; `storage.line` has the queues.

Jobs are queued by name with their id as the only argument; nothing is ever pickled.
"""

import json
import logging
from contextlib import suppress
from typing import Any, Literal

from arq.connections import ArqRedis
from redis.exceptions import RedisError
from tenacity import RetryCallState, retry, retry_if_exception_type, wait_random_exponential

from storage.errors import Damaged, SetupError
from storage.heeding import HEEDING
from storage.jobs import Progress
from storage.records import parsed_in_part
from storage.settings import without_secrets

log = logging.getLogger(__name__)

QUEUES = {"train": "darkroom:train", "imagine": "darkroom:imagine"}  # of each kind of job, as `queue_name` has it
RUN_JOB = "run_job"  # the one function that workers offer
EXPIRES_MS = 30 * 24 * 3600 * 1000  # a queued job's body; arq's day is short for a long queue
PROGRESS_TTL_S = 24 * 3600
CONNECT_S, ANSWER_S = 2, 5  # a Redis that is cut off may neither refuse nor answer
Strike = Literal["crash", "failure", "loss"]  # of the engine, of the store, of the whole worker
WORKER_SEEN_S = 10  # a worker that has not beaten for this long counts as gone


class NoRedis(SetupError):
    """There is no Redis that lets us in, or not yet."""


def queue_name(kind: str) -> str:
    """Arq's queue of a kind of job, one that only newer versions know among them."""
    return f"darkroom:{kind}"


def to_json(value: Any) -> bytes:
    """Serialise what arq stores; raises TypeError on what JSON cannot say."""
    return json.dumps(value, default=str).encode()


def from_json(data: bytes) -> Any:
    """Read what arq stored."""
    return json.loads(data)


async def connect(url: str) -> ArqRedis:
    """Open a pool on the Redis of `url`; raises NoRedis, or SetupError for what is no URL, in a sentence."""
    try:
        redis: ArqRedis = ArqRedis.from_url(url, socket_connect_timeout=CONNECT_S, socket_timeout=ANSWER_S)
    except ValueError as error:
        raise SetupError("REDIS_URL has to begin with redis://, rediss:// or unix://.") from error
    redis.connection_pool.connection_class = HEEDING[redis.connection_pool.connection_class]
    redis.job_serializer, redis.job_deserializer, redis.expires_extra_ms = to_json, from_json, EXPIRES_MS
    try:
        await redis.ping()
    except BaseException as error:  # whoever is cancelled meanwhile leaves no connection behind either
        await redis.aclose()
        if isinstance(error, OSError | RedisError):
            raise NoRedis(f"There is no Redis at {without_secrets(url)}: {error}. Is it running?") from error
        raise
    return redis


def _say_once(state: RetryCallState) -> None:
    if state.attempt_number == 1 and state.outcome:
        log.warning("%s I keep trying.", state.outcome.exception())


@retry(retry=retry_if_exception_type(NoRedis), wait=wait_random_exponential(max=5), before_sleep=_say_once)
async def connect_patiently(url: str) -> ArqRedis:
    """Open a pool on the Redis of `url` as soon as there is one; raises SetupError for what is no URL."""
    return await connect(url)


def progress_key(job: str) -> str:
    """Key of a job's newest progress."""
    return f"darkroom:progress:{job}"


def worker_key(worker: str, queue: str) -> str:
    """Key that a living worker renews, one for each queue that it serves; its value is what the worker lacks."""
    return f"darkroom:worker:{queue}:{worker}"


async def workers(redis: ArqRedis, kind: str) -> list[str]:
    """What each living worker that serves this kind of job lacks at the moment to take one: empty for most."""
    keys = [key async for key in redis.scan_iter(match=worker_key("*", kind))]
    return [lack.decode() for lack in (await redis.mget(keys) if keys else []) if lack is not None]


async def write_progress(redis: ArqRedis, progress: Progress) -> None:
    """Publish where a job is."""
    await redis.set(progress_key(progress.job), progress.model_dump_json(), ex=PROGRESS_TTL_S)


async def read_progress(redis: ArqRedis, job: str) -> Progress | None:
    """The newest progress of a job, if any was published and can be understood: it is not worth more than that."""
    body = await redis.get(progress_key(job))
    with suppress(Damaged):
        return parsed_in_part(Progress, body, progress_key(job)) if body else None
    return None


async def strike(redis: ArqRedis, job: str, why: Strike) -> int:
    """Count an attempt that ended badly through no fault of the worker's; return how many of the job's have so."""
    async with redis.pipeline(transaction=True) as both:
        both.incr(_strikes_key(job, why))
        both.expire(_strikes_key(job, why), PROGRESS_TTL_S)
        count, _ = await both.execute()
    return int(count)


async def strikes(redis: ArqRedis, job: str, why: Strike) -> int:
    """How many of the job's attempts have ended so."""
    return int(await redis.get(_strikes_key(job, why)) or 0)


async def absolve(redis: ArqRedis, job: str, why: Strike) -> None:
    """Count from nothing again."""
    await redis.delete(_strikes_key(job, why))


def _strikes_key(job: str, why: Strike) -> str:
    return f"darkroom:strikes:{why}:{job}"

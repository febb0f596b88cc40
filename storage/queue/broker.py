"""The Redis that bot and workers share: connections proven to work, and what jobs look like in arq's queues.

Jobs are queued by name with their id as the only argument; nothing is ever pickled.
"""

import json
import logging
import time
from typing import Any

from tenacity import RetryCallState, retry, retry_if_exception, wait_random_exponential

from storage.errors import SetupError
from storage.failures import Failure
from storage.probes import failed, sentences
from storage.queue.redis_client import PrefixedRedis, client
from storage.queue.redis_errors import ERRORS, meaning_of
from storage.queue.redis_probe import probe_redis
from storage.queue.redis_url import parse_redis_url, without_secrets
from storage.settings.shared import SharedSettings

log = logging.getLogger(__name__)

RUN_JOB = "run_job"  # the one function that workers offer
EXPIRES_MS = 30 * 24 * 3600 * 1000  # a queued job's body; arq's day is short for a long queue
UNKNOWN_S = 120.0  # a failure of unknown kind is waited out for so long


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

"""Announces that this worker lives: which kinds of jobs it takes, what it lacks, what it does."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from arq.connections import ArqRedis

from storage.contract.worker_status import WorkerStatus
from storage.ids import new_id
from storage.queue.redis_errors import ERRORS, best_effort, meaning_of
from storage.queue.worker_registry import Registration
from storage.service_errors import RetryPolicy
from storage.settings.trainer import TrainerSettings
from trainer.worker.engine_client import EngineClient
from trainer.worker.host_resources import HostResources

log = logging.getLogger(__name__)

LOOK_S = 0.5  # between two looks whether there is something new to say


async def announce(
    redis: ArqRedis,
    kinds: Sequence[str],
    resources: HostResources,
    may_take: Callable[[], bool] = lambda: True,
    status: Callable[[], WorkerStatus] | None = None,
) -> None:
    """Tell bots and other workers that this one lives and reaches the store, and what it lacks, until cancelled.

    `kinds` may grow meanwhile.
    """
    registration, trouble, retry_policy = Registration(redis, new_id()), "", RetryPolicy()
    try:
        while True:
            try:
                if kinds and may_take():
                    lacks = resources.lacks()
                    says = status().model_copy(update={"lacks": lacks}) if status else None
                    await registration.renew(kinds, lacks, says)
                else:
                    await registration.withdraw()
                trouble = ""
                retry_policy.succeeded()
            except ERRORS as error:
                retry_policy.failed(error)
                reason = meaning_of(error).reason
                if reason != trouble:  # arq itself takes no job of such a Redis, and does not say so
                    log.warning("the queue cannot be written: %s", reason)
                trouble = reason
            await asyncio.sleep(LOOK_S)
    finally:
        with best_effort("it is found out later that a worker is gone"):
            await registration.withdraw()


def worker_status(settings: TrainerSettings, engine: EngineClient, kinds: Sequence[str]) -> WorkerStatus:
    """What this worker serves at the moment, and how much its engine did lately."""
    if not (hello := engine.hello):
        return WorkerStatus(kinds=(*kinds,))
    # The name alone: people need not know the operator's folders.
    model, load = Path(settings.base_model).name, engine.load.model_dump(exclude={"say", "trainings_at_once"})
    return WorkerStatus(kinds=(*kinds,), base_model=model, device=hello.device, **load)

"""The worker: serves queues, each with a loop of its own, says that it lives, and ends well.

There is no tensor work here; the event loop stays free to report and to cancel.
"""

import asyncio
import logging
from functools import partial
from pathlib import Path

from arq.connections import ArqRedis
from arq.worker import func

from storage.kinds import KINDS
from storage.lifecycle.reconcile import keep_queued
from storage.objects.store import Store
from storage.queue import broker
from storage.queue.redis_errors import best_effort
from storage.queue.reference_photos import note_references
from storage.queue.subscription import Subscription, queue_notifications
from storage.settings.trainer import TrainerSettings
from trainer.models.families import family_of
from trainer.worker.announcement import announce, worker_status
from trainer.worker.engine_client import EngineClient
from trainer.worker.handler import Handlers
from trainer.worker.host_resources import HostResources
from trainer.worker.job_runner import JobRunner
from trainer.worker.queue_worker import QueueWorker
from trainer.worker.store_health import StoreHealth
from trainer.worker.watchdog import SilenceLimits

log = logging.getLogger(__name__)

BESIDE_S = 1.0  # that a training waits for a worker that trains nothing, before one that does takes it as well
REFERENCES_S = 30.0  # between two notes on the base model
GRACE_S = 12  # to finish pictures and to write trainings down before a worker ends
LONGEST_JOB_S = 24 * 3600


async def run_worker(
    settings: TrainerSettings, store: Store, redis: ArqRedis, queues: list[str], handlers: Handlers
) -> None:
    """Serve the queues until cancelled; then let pictures be finished and trainings be written down.

    An engine is started where a kind needs one. Kinds that need none do not wait for it.
    """
    limits = SilenceLimits(settings.engine_silence_s, settings.engine_loading_s)
    engine = EngineClient(settings.base_models, settings.gpus_per_training, limits)
    runner = JobRunner(settings, store, redis, engine, handlers)
    resources = HostResources(settings)
    health = StoreHealth(store, redis, settings.lease_s, lambda: any(worker.is_busy for worker in workers.values()))

    def wake(kind: str) -> None:
        for worker in workers.values():
            worker.wake(kind)

    notifications = queue_notifications(redis, wake)
    workers = {kind: _worker(settings, redis, kind, runner, resources, health, notifications) for kind in queues}
    served: list[str] = []  # queues that are served by now

    async def start_engine() -> None:
        hello = await engine.start()
        log.info("ready on %s: %s %s, %d px", hello.device, settings.base_model, hello.revision, hello.image_px)

    async def serve(kind: str) -> None:
        if KINDS[kind].needs_gpu:
            await engine_ready
        served.append(kind)
        await workers[kind].run()

    async def announce_base_model() -> None:
        await engine_ready
        if engine.hello:
            await announce_references(redis, family_of(Path(engine.hello.folder)).references)

    needs_engine = any(KINDS[kind].needs_gpu for kind in queues)
    engine_ready = asyncio.create_task(start_engine() if needs_engine else asyncio.sleep(0))
    upkeep = health.keep_looking(), runner.cache.keep_clean(redis), keep_queued(store, redis, settings.lease_s)
    preparing = [handlers[kind].prepare() for kind in queues]
    announcing = announce(redis, served, resources, health.good, partial(worker_status, settings, engine, served))
    loops = *upkeep, notifications.run(), announce_base_model(), announcing, *map(serve, queues), *preparing
    serving = [engine_ready, *map(asyncio.create_task, loops)]
    try:
        ended, _ = await asyncio.wait(serving, return_when=asyncio.FIRST_EXCEPTION)
        for task in ended:
            task.result()
    finally:
        await _end(serving)
        await _drain(engine, runner, [*workers.values()])


async def _drain(engine: EngineClient, runner: JobRunner, workers: list[QueueWorker]) -> None:
    """Let what runs be finished or written down within the grace period, then stop everything."""
    await engine.pause()
    await asyncio.gather(*(worker.drain(GRACE_S) for worker in workers))
    await asyncio.gather(*(worker.stop() for worker in workers))
    await asyncio.gather(engine.stop(), runner.close())


async def _end(tasks: list[asyncio.Task[None]]) -> None:
    """Cancel tasks and wait until they have ended."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _worker(
    settings: TrainerSettings,
    redis: ArqRedis,
    kind: str,
    runner: JobRunner,
    resources: HostResources,
    health: StoreHealth,
    notifications: Subscription,
) -> QueueWorker:
    async def may_take() -> bool:
        return not resources.lacks() and await health.ready()

    return QueueWorker(
        redis,
        kind,
        [func(runner.run, name=broker.RUN_JOB, timeout=LONGEST_JOB_S)],
        lease_s=settings.lease_s,
        jobs_max=(lambda: runner.context.engine.trainings_at_once) if KINDS[kind].learns else KINDS[kind].at_once,
        one_per_person=KINDS[kind].one_per_person,
        skipped=runner.left,
        may_take=may_take,
        must_leave=partial(health.is_needed_elsewhere, kind),
        fits_beside=runner.fits_beside if KINDS[kind].needs_gpu else None,
        beside_s=BESIDE_S if KINDS[kind].learns else 0,
        is_notified=lambda: notifications.is_alive,
    )


async def announce_references(redis: ArqRedis, count: int) -> None:
    """Tell bots from how many photos the base model draws with nothing learned, until cancelled."""
    while True:
        with best_effort("bots find out later whether there are first looks"):
            await note_references(redis, count)
        await asyncio.sleep(REFERENCES_S)

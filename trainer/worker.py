"""The worker: takes jobs from arq's queues, has the engine work on them, reports progress, publishes outcomes.

There is no tensor work here; the event loop stays free to report and to cancel.
"""

import asyncio
import contextlib
import logging
import shutil
import time
from pathlib import Path
from typing import Any

from arq.connections import ArqRedis
from arq.worker import func
from redis.exceptions import RedisError

from storage import queue
from storage.errors import Missing, UserError
from storage.files import Store
from storage.ids import new_id
from storage.jobs import ImagineJob, Outcome, Progress, TrainJob, job_key, outcome_key, read_job
from storage.settings import Settings
from storage.subjects import Subjects
from trainer.engine_client import EngineClient
from trainer.lease import LeasedWorker
from trainer.progress import Reporter
from trainer.seam import ImagineTask, Report, Result, TrainTask
from trainer.tasks import Tasks

log = logging.getLogger(__name__)

BEAT_S = 0.5
LONGEST_JOB_S = 24 * 3600
OURS = "Something went wrong on our side while working on this."


class JobRunner:
    """Takes one job at a time from acceptance to outcome."""

    def __init__(self, settings: Settings, store: Store, redis: ArqRedis, engine: EngineClient) -> None:
        self.store, self.redis, self.engine = store, redis, engine
        self.tasks = Tasks(store, settings.base_model, settings.home / "cache", settings.checkpoint_s)
        self.work = settings.home / "work"
        self.subjects = Subjects(store)

    async def run(self, ctx: dict[str, Any], job_id: str) -> None:
        """Run the job of this id and publish its outcome; harmless if it already has one or is deleted."""
        try:
            job = read_job((await self.store.get(job_key(job_id))).data)
        except Missing:
            return
        if await self.store.exists(outcome_key(job.id)):
            return
        attempt, started_s = f"attempt-{ctx['job_try']}-{new_id()[-8:]}", time.monotonic()
        folder = self.work / attempt
        folder.mkdir(parents=True)
        try:
            outcome = await self._attempt(job, attempt, folder)
        except RetryJob:
            raise
        except UserError as error:
            outcome = Outcome(job=job.id, state="failed", message=str(error))
        except Exception as error:
            log.exception("job %s failed", job.id)
            outcome = Outcome(job=job.id, state="failed", message=OURS, detail=f"{type(error).__name__}: {error}")
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        await self._publish(job, outcome.model_copy(update={"seconds": round(time.monotonic() - started_s, 3)}))

    async def _attempt(self, job: TrainJob | ImagineJob, attempt: str, folder: Path) -> Outcome:
        reporter = Reporter(self.redis, job.id)
        beat = asyncio.create_task(self._beat(job.id, reporter))
        try:
            hello = await self.engine.start()
            task = await self.tasks.build(job, hello, folder)
            result = Result(job=job.id, state="failed")
            async with contextlib.aclosing(self.engine.run(task)) as said:
                async for news in said:
                    if isinstance(news, Result):
                        result = news
                    else:
                        await self._heard(job, news, reporter, checkpoints)
            await self.tasks.keep_class_set(task, hello)
            if result.state == "paused":
                await checkpoints.settle()
                raise RetryJob
            if result.state != "done":
                return Outcome(job=job.id, state=result.state, message=result.message, detail=result.detail)
            if isinstance(job, TrainJob) and isinstance(task, TrainTask):
                return await self.tasks.publish_train(job, task, result, reporter.samples)
            assert isinstance(job, ImagineJob) and isinstance(task, ImagineTask)
            return await self.tasks.publish_imagine(job, task, result, attempt)
        finally:
            beat.cancel()

    async def _heard(self, job: TrainJob | ImagineJob, attempt: str, news: Report, reporter: Reporter) -> None:
        if news.sample and isinstance(job, TrainJob):
            reporter.samples += (await self.tasks.sample(job, attempt, Path(news.sample)),)
        reporter.heard(news)

    async def _beat(self, job: str, reporter: Reporter) -> None:
        """Report twice a second and pass on a wish to cancel."""
        asked = False
        while True:
            try:
                await reporter.write()
                if not asked and await queue.is_cancelled(self.redis, job):
                    asked = await self.engine.cancel(job)
            except (RedisError, OSError) as error:
                log.warning("redis does not answer: %s", error)
            await asyncio.sleep(BEAT_S)

    async def _publish(self, job: TrainJob | ImagineJob, outcome: Outcome) -> None:
        """Write the outcome, once; what belongs to a job that did not succeed is removed first."""
        if not await self.store.exists(job_key(job.id)):  # deleted while it ran
            await self.store.delete_prefix(f"jobs/{job.id}/")
            return
        if isinstance(job, TrainJob) and outcome.state != "done":
            await self.subjects.give_up(job.subject, outcome.state == "cancelled")
        if await self.store.put_new(outcome_key(job.id), outcome.model_dump_json().encode()):
            log.info("job %s %s in %.1f s %s", job.id, outcome.state, outcome.seconds, outcome.detail)
            await queue.write_progress(self.redis, Progress(job=job.id, phase="saving"))


async def run_worker(settings: Settings, store: Store, redis: ArqRedis, queues: list[str]) -> None:
    """Serve the queues until cancelled."""
    engine = EngineClient(settings.base_model)
    runner = JobRunner(settings, store, redis, engine)
    workers = [
        LeasedWorker(
            lease_s=settings.lease_s,
            functions=[func(runner.run, name=queue.RUN_JOB, timeout=LONGEST_JOB_S)],
            queue_name=queue.QUEUES[kind],
            redis_pool=redis,
            job_serializer=queue.to_json,
            job_deserializer=queue.from_json,
            max_jobs=1,
            poll_delay=0.1,
            keep_result=0,
            health_check_key=f"darkroom:health:{kind}:{new_id()}",
        )
        for kind in queues
    ]
    try:
        hello = await engine.start()
        log.info("ready on %s: %s, %d px", hello.device, settings.base_model, hello.image_px)
        await asyncio.gather(_announce(redis, queues), *(worker.async_run() for worker in workers))
    finally:
        await asyncio.gather(*(worker.stop() for worker in workers))
        await engine.stop()


async def _announce(redis: ArqRedis, queues: list[str]) -> None:
    """Tell the bots that this worker lives, until it does not."""
    keys = [queue.worker_key(new_id(), kind) for kind in queues]
    try:
        while True:
            with contextlib.suppress(RedisError, OSError):  # it is waited for elsewhere
                for key in keys:
                    await redis.set(key, b"1", ex=queue.WORKER_SEEN_S)
            await asyncio.sleep(queue.WORKER_SEEN_S / 4)
    finally:
        with contextlib.suppress(RedisError, OSError):
            await redis.delete(*keys)

"""One attempt at a job: the engine works on it, people hear how far it is, and what it made goes to the store."""

import asyncio
import contextlib
import logging
from pathlib import Path

from arq.connections import ArqRedis

from storage.contract.jobs import ImagineJob, TrainJob
from storage.contract.outcomes import Outcome
from storage.errors import DiskFull, SetupError, StoreError
from storage.lifecycle.finalize import is_open
from storage.queue.failed_attempts import clear_failed_attempts, failed_attempts
from storage.queue.redis_errors import ERRORS, best_effort
from storage.service_errors import reason_of
from trainer.protocol import Hello, ImagineTask, ProgressReport, Task, TaskResult, TrainTask
from trainer.worker.build_task import TaskBuilder
from trainer.worker.checkpoint_store import CheckpointStore
from trainer.worker.engine_client import EngineClient
from trainer.worker.engine_handle import DIED
from trainer.worker.progress import ProgressReporter
from trainer.worker.publish import Publisher
from trainer.worker.tensorboard_store import TensorBoardStore

log = logging.getLogger(__name__)

BEAT_S = 0.5
LOOK_S = 5.0  # between two looks into the store without a reason: it may be that Redis was emptied


class HandedBack(Exception):
    """The worker is about to end, or another job killed the engine: this one is to be gone on with."""


class JobEnded(Exception):
    """The job has come to an end elsewhere: somebody cancelled or deleted it, or another worker published it."""


class EngineDied(Exception):
    """The engine ended in the middle of the attempt; says so to the person, and in `detail` to the operator."""

    def __init__(self, message: str, detail: str) -> None:
        super().__init__(message)
        self.detail = detail


class Attempt:
    """An attempt at `job`; `name` is its own, and `folder` for its files."""

    def __init__(self, job: TrainJob | ImagineJob, name: str, folder: Path, tasks: TaskBuilder) -> None:
        self.job, self.folder, self.tasks = job, folder, tasks
        self.publisher = Publisher(tasks.store, tasks.cache, name)
        self.logs = (
            TensorBoardStore(tasks.store, job, name, folder / "tensorboard") if isinstance(job, TrainJob) else None
        )
        self.checkpoints = CheckpointStore(tasks.store, job, self.logs) if isinstance(job, TrainJob) else None
        self.samples: list[Path] = []  # those that are not stored yet
        self.ended = False
        self.look = asyncio.Event()  # there is a reason to look into the store

    async def run(self, engine: EngineClient, redis: ArqRedis) -> Outcome:
        """Bring the job to its outcome; raises HandedBack, Ended and EngineDied, and UserError or StoreError."""
        reporter = ProgressReporter(redis, self.job.id)
        work = asyncio.create_task(self._work(engine, reporter))
        aside = [asyncio.create_task(self._beat(reporter)), asyncio.create_task(self._watch(work))]
        try:
            return await work
        except SetupError as error:  # the engine worked before; that it does not start now may pass
            raise EngineDied(DIED, str(error)) from error
        except asyncio.CancelledError:
            if self.ended:
                raise JobEnded from None
            raise
        finally:
            for task in aside:
                task.cancel()

    async def _work(self, engine: EngineClient, reporter: ProgressReporter) -> Outcome:
        with contextlib.ExitStack() as hold:  # the files that the engine is to read
            return await self._attempt(engine, reporter, hold)

    async def _attempt(self, engine: EngineClient, reporter: ProgressReporter, hold: contextlib.ExitStack) -> Outcome:
        hello = await engine.start()
        task = await self.tasks.build(self.job, hello, self.folder, reporter.moving("loading"), hold)
        task = task.model_copy(update={"gentle": await self._has_crashed(reporter.redis)})
        if isinstance(self.job, TrainJob):
            reporter.samples = await self.publisher.samples(self.job)
        result = await self._result(engine, task, reporter)
        return await self._outcome(task, hello, result, reporter)

    async def _has_crashed(self, redis: ArqRedis) -> bool:
        """Whether an engine died of this job before, perhaps for want of memory: so less is used from then on."""
        with best_effort("whether an engine died of a job is not known"):
            return await failed_attempts(redis, self.job.id, "crash") > 0
        return False

    async def _beat(self, reporter: ProgressReporter) -> None:
        """Report twice a second, and hear in the answer whether there is a reason to look into the store."""
        changes = 0
        while True:
            try:
                if (now := await reporter.write()) != changes:
                    changes = now
                    self.look.set()
            except ERRORS as error:
                log.warning("progress cannot be published: %s", reason_of(error))
            await asyncio.sleep(BEAT_S)

    async def _watch(self, work: "asyncio.Task[Outcome]") -> None:
        """Look into the store where there is a reason, and now and then; stop the work if the job has ended there."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await self.look.wait()
            self.look.clear()
            with contextlib.suppress(StoreError, OSError):
                if not await is_open(self.tasks.store, self.job):
                    self.ended = True
                    work.cancel()
                    return

    async def _result(self, engine: EngineClient, task: Task, reporter: ProgressReporter) -> TaskResult:
        async with contextlib.aclosing(engine.run(task)) as messages:
            async for news in messages:
                if isinstance(news, TaskResult):
                    return news
                await self._heard(news, reporter)
        raise AssertionError("the engine ends with a result")

    async def _heard(self, news: ProgressReport, reporter: ProgressReporter) -> None:
        if news.checkpoint and self.checkpoints:
            self.checkpoints.add(news.step, Path(news.checkpoint))
            with best_effort("attempts before a checkpoint count"):
                await clear_failed_attempts(reporter.redis, self.job.id, "loss")  # it gets somewhere
        if news.sample:
            self.samples.append(Path(news.sample))
            try:
                await self._store_samples(reporter)
            except StoreError as error:  # the training can do without, until it is published
                log.warning("a sample picture is stored later: %s", error)
        reporter.heard(news)

    async def _store_samples(self, reporter: ProgressReporter) -> None:
        """Store the sample pictures that are not stored yet."""
        while self.samples and isinstance(self.job, TrainJob):
            try:
                sample = await self.publisher.sample(self.job, self.samples[0])
            except OSError as error:  # there is no such picture, or it is none: the training can do without
                log.warning("a sample picture is left out: %s", error)
                self.samples.pop(0)
                continue
            before = (s for s in reporter.samples if s.caption != sample.caption)  # of an earlier attempt
            reporter.samples = (*before, sample)
            self.samples.pop(0)

    async def _outcome(self, task: Task, hello: Hello, result: TaskResult, reporter: ProgressReporter) -> Outcome:
        await self.publisher.keep_class_set(task)
        if self.logs:
            await self.logs.upload()
        if result.state == "paused":
            if self.checkpoints:
                await self.checkpoints.settle()
            raise HandedBack
        if result.disk_full:
            raise DiskFull(result.detail)
        if result.state == "died":
            raise EngineDied(result.message, result.detail)
        if result.state != "done":
            return Outcome(job=self.job.id, state=result.state, message=result.message, detail=result.detail)
        if isinstance(self.job, TrainJob) and isinstance(task, TrainTask):
            await self._store_samples(reporter)
            on_progress = reporter.moving("saving")
            done = await self.publisher.train(self.job, task, result, hello, reporter.samples, on_progress)
            waited_s = reporter.first_step_s and max(0.0, round(reporter.first_step_s - self.job.accepted_s, 1))
            return done.model_copy(update={"first_step_s": waited_s, "detail": result.detail})
        assert isinstance(self.job, ImagineJob) and isinstance(task, ImagineTask)
        drawn = await self.publisher.imagine(self.job, task, result)
        return drawn.model_copy(update={"detail": result.detail})

"""How a worker has subjects learned: checkpoints, sample pictures and logs on the way, the weights at the end."""

import logging
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from storage.contract.recipe import Recipe
from storage.contract.records import is_garbled
from storage.errors import Damaged, Newer, StoreError
from storage.kinds.train import TrainJob, TrainOutcome
from storage.queue.redis_errors import best_effort
from trainer.kinds.engine_handler import EngineHandler
from trainer.kinds.train_publish import TrainPublisher
from trainer.kinds.train_task import TrainTaskBuilder
from trainer.protocol import Hello, ProgressReport, TaskResult, TrainResult, TrainTask
from trainer.worker.attempt import Attempt
from trainer.worker.checkpoint_store import CheckpointStore
from trainer.worker.retry_limits import clear_lost_workers
from trainer.worker.tensorboard_store import TensorBoardStore

log = logging.getLogger(__name__)


class TrainHandler(EngineHandler[TrainJob, TrainTask, TrainResult]):
    """One attempt at a training."""

    result = TrainResult

    def __init__(self, job: TrainJob, attempt: Attempt) -> None:
        super().__init__(job, attempt)
        self.publisher = TrainPublisher(attempt.store, attempt.cache, attempt.name)
        self.logs = TensorBoardStore(attempt.store, job, attempt.name, attempt.folder / "tensorboard")
        self.checkpoints = CheckpointStore(attempt.store, job, self.logs)
        self.samples: list[Path] = []  # those that are not stored yet

    @classmethod
    def check(cls, job: TrainJob) -> None:
        """Raise Newer for a recipe that this version does not know, and Damaged for one that nobody does."""
        unknown = sorted(set(job.recipe) - set(Recipe.model_fields))
        if any(is_garbled(name, Recipe.model_fields) for name in unknown):
            raise Damaged(f"The recipe of job {job.id} is damaged.")
        if unknown:
            names = ", ".join(unknown)[:100]
            raise Newer(f"The recipe of job {job.id} is of a newer version of Darkroom: it has {names}.")

    @classmethod
    def fits_beside(cls, job: TrainJob, running: Sequence[TrainJob], hello: Hello | None) -> bool:
        """LoRA trainings share their steps; full ones would only take each other's time."""
        usual = hello.method if hello else None
        return all((each.method or usual) == "lora" for each in (job, *running))

    async def build(self, hello: Hello, hold: ExitStack) -> TrainTask:
        """Fetch photos, class sets and the newest checkpoint."""
        attempt = self.attempt
        builder = TrainTaskBuilder(attempt.store, attempt.cache, attempt.settings.checkpoint_s)
        return await builder.build(self.job, hello, attempt.folder, attempt.reporter.moving("loading"), hold)

    async def begun(self) -> None:
        """Show the sample pictures of attempts before."""
        self.attempt.reporter.samples = await self.publisher.samples(self.job)

    async def on_report(self, report: ProgressReport) -> None:
        """Take in what the engine reports: keep checkpoints and sample pictures."""
        if report.checkpoint:
            self.checkpoints.add(report.step, Path(report.checkpoint))
            # A job that gets further each time is not what kills its workers.
            with best_effort("attempts before a checkpoint count"):
                await clear_lost_workers(self.attempt.redis, self.job.id)  # it gets somewhere
        if report.sample:
            self.samples.append(Path(report.sample))
            try:
                await self._store_samples()
            except StoreError as error:  # the training can do without, until it is published
                log.warning("a sample picture is stored later: %s", error)
        await super().on_report(report)

    async def ended(self, task: TrainTask, result: TaskResult) -> None:
        """Keep the class sets and logs, and the last checkpoint of one that is gone on with elsewhere."""
        await self.publisher.keep_class_set(task)
        await self.logs.upload()
        if result.state == "paused":
            await self.checkpoints.settle()

    async def publish(self, task: TrainTask, hello: Hello, result: TrainResult) -> TrainOutcome:
        """Store weights, report cards and candidates."""
        await self._store_samples()
        reporter = self.attempt.reporter
        on_progress = reporter.moving("saving")
        outcome = await self.publisher.train(self.job, task, result, hello, reporter.samples, on_progress)
        waited_s = reporter.first_step_s and max(0.0, round(reporter.first_step_s - self.job.accepted_s, 1))
        return outcome.model_copy(update={"first_step_s": waited_s})

    async def _store_samples(self) -> None:
        """Store the sample pictures that are not stored yet."""
        reporter = self.attempt.reporter
        while self.samples:
            try:
                sample = await self.publisher.sample(self.job, self.samples[0])
            except OSError as error:  # there is no such picture, or it is none: the training can do without
                log.warning("a sample picture is left out: %s", error)
                self.samples.pop(0)
                continue
            before = (s for s in reporter.samples if s.caption != sample.caption)  # of an earlier attempt
            reporter.samples = (*before, sample)
            self.samples.pop(0)

"""Kinds of jobs that the engine does: a task goes to its process, and what it says comes back."""

from contextlib import ExitStack, aclosing
from typing import Generic, TypeVar

from storage.contract.jobs import Job
from storage.contract.outcomes import Outcome
from storage.errors import DiskFull, Missing, SetupError, UserError
from storage.queue.redis_errors import best_effort
from trainer.kinds.pictures import still_there
from trainer.protocol import OURS, Hello, ImagineTask, ProgressReport, TaskResult, TrainTask
from trainer.worker.attempt import AttemptRequeued, EngineDied
from trainer.worker.engine_handle import DIED
from trainer.worker.handler import JobHandler
from trainer.worker.retry_limits import failed_attempts

LACKING = "Something that this needs is not in the storage any more: a photo, or what was learned."

J = TypeVar("J", bound=Job)
T = TypeVar("T", TrainTask, ImagineTask)
R = TypeVar("R", bound=TaskResult)


class EngineHandler(JobHandler[J], Generic[J, T, R]):
    """One attempt at a job that the engine works on."""

    result: type[R]  # of a task that is done

    async def build(self, hello: Hello, hold: ExitStack) -> T:
        """Fetch what the job needs, and say what the engine is to do.

        What is in the cache stays there until `hold` is closed. Raises Missing if a subject is gone, and UserError.
        """
        raise NotImplementedError

    async def publish(self, task: T, hello: Hello, result: R) -> Outcome:
        """Store what was made; raises UserError if a subject was forgotten meanwhile."""
        raise NotImplementedError

    async def begun(self) -> None:
        """Look for what attempts before have left, just before the engine begins."""

    async def on_report(self, report: ProgressReport) -> None:
        """Take in what the engine reports."""
        self.attempt.reporter.on_report(report)

    async def ended(self, task: T, result: TaskResult) -> None:
        """Keep what is worth keeping however it has ended."""

    async def run(self) -> Outcome:
        """Have the engine do it; raises AttemptRequeued and EngineDied as well."""
        with ExitStack() as hold:  # the files that the engine is to read
            try:
                return await self._run(hold)
            except SetupError as error:  # the engine worked before; that it does not start now may pass
                raise EngineDied(DIED, str(error)) from error

    async def _run(self, hold: ExitStack) -> Outcome:
        hello = await self.attempt.engine.start()
        try:
            task = await self.build(hello, hold)
        except Missing as error:
            await still_there(self.attempt.store, self.job)  # raises UserError where a subject was forgotten
            raise UserError(LACKING) from error
        # Here and not in the builders: which attempt this is, and what killed the last one, is the same for all
        # kinds.
        task = task.model_copy(update={"gentle": await self._has_crashed()})
        await self.begun()
        result = await self._result(task)
        # Before the state is looked at: class sets and logs are worth keeping of failed attempts, too.
        await self.ended(task, result)
        if result.state == "paused":
            raise AttemptRequeued
        if result.disk_full:
            raise DiskFull(result.detail)
        if result.state == "died":
            raise EngineDied(result.message, result.detail)
        if result.state != "done":
            return Outcome(job=self.job.id, state=result.state, message=result.message, detail=result.detail)
        if not isinstance(result, self.result):  # an engine of another version, after an update beneath us
            return Outcome(job=self.job.id, state="failed", message=OURS, detail=f"the engine says {result!r:.200}")
        outcome = await self.publish(task, hello, result)
        return outcome.model_copy(update={"detail": result.detail})

    async def _has_crashed(self) -> bool:
        """Whether an engine died of this job before, perhaps for want of memory: so less is used from then on."""
        with best_effort("whether an engine died of a job is not known"):
            return await failed_attempts(self.attempt.redis, self.job.id, "crash") > 0
        return False

    async def _result(self, task: T) -> TaskResult:
        async with aclosing(self.attempt.engine.run(task)) as messages:
            async for news in messages:
                if isinstance(news, TaskResult):
                    return news
                await self.on_report(news)
        raise AssertionError("the engine ends with a result")

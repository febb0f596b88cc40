"""What every command needs around it, and how it finds a job."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import suppress

from bot.answers.limits import Limits
from bot.dispatch import Dispatch
from bot.messages import Reply, Request
from storage.errors import Missing, UserError
from storage.files import Store
from storage.ids import is_id
from storage.jobs import ImagineJob, TrainJob
from storage.settings import Settings
from storage.subjects import Subject, Subjects

Answers = AsyncIterator[Reply]


class Bot(ABC):
    """What a command needs around it."""

    settings: Settings
    store: Store
    dispatch: Dispatch
    subjects: Subjects
    limits: Limits

    @abstractmethod
    def watch(self, job_id: str) -> Answers:
        """Follow a job to its end."""

    async def accept(self, job: TrainJob | ImagineJob) -> None:
        """Take a job on; raises UserError, with nothing done, where that is too much."""
        await self.limits.admit(job)
        await self.dispatch.accept(job)

    async def subject_of(self, job: TrainJob | ImagineJob) -> Subject | None:
        """The subject of a job, the first that is not forgotten of several."""
        return next(iter(await self.subjects_of(job)), None)

    async def subjects_of(self, job: TrainJob | ImagineJob) -> list[Subject]:
        """All subjects of a job that are not forgotten."""
        found = []
        for subject in job.subjects:
            with suppress(Missing):
                found.append(await self.subjects.get(subject))
        return found


async def find_job(bot: Bot, request: Request, prefix: str) -> TrainJob | ImagineJob:
    """The job of this space whose id begins with `prefix`; raises UserError if there is none."""
    if is_id(prefix):
        with suppress(Missing):
            if (job := await bot.dispatch.job(prefix)).space == request.space:
                return job
        raise UserError(f"There is no job {prefix} here.")
    for job in await bot.dispatch.jobs(request.space, beginning=prefix, most=1):
        return job
    raise UserError(f"There is no job {prefix} here.")


async def find_pictures(bot: Bot, request: Request, prefix: str) -> ImagineJob:
    """The same for a job that drew pictures; raises UserError if it was a training."""
    job = await find_job(bot, request, prefix)
    if not isinstance(job, ImagineJob):
        raise UserError("That was a training, not pictures.")
    return job

"""What every command needs around it, and how it finds a job."""

import logging
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator

from bot.answers.limits import Limits
from bot.dispatch import Dispatch
from bot.messages import Reply, Request
from storage.damage import end_damaged
from storage.errors import Damaged, Missing, UserError
from storage.files import Store
from storage.ids import is_id
from storage.jobs import ImagineJob, Job, NewerJob, StoredJob, TrainJob
from storage.settings import Settings
from storage.subjects import Subject, Subjects

log = logging.getLogger(__name__)

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

    async def subject_of(self, job: Job) -> Subject | None:
        """The subject of a job, the first that is not forgotten of several."""
        return next(iter(await self.subjects_of(job)), None)

    async def subjects_of(self, job: Job) -> list[Subject]:
        """All subjects of a job that are not forgotten; one whose record is damaged is left out and logged."""
        found = []
        for subject in job.subjects:
            try:
                found.append(await self.subjects.get(subject))
            except Missing:  # forgotten
                continue
            except Damaged as error:
                log.error("a subject is left out: %s", error)
        return found


async def find_job(bot: Bot, request: Request, prefix: str) -> StoredJob:
    """The job of this space whose id begins with `prefix`; raises UserError if there is none."""
    if is_id(prefix):
        try:
            if (job := await bot.dispatch.job(prefix)).space == request.space:
                return job
        except Missing:
            pass
        except Damaged:
            raise UserError(await end_damaged(bot.store, prefix)) from None
        raise UserError(f"There is no job {prefix} here.")
    for job in await bot.dispatch.jobs(request.space, beginning=prefix, most=1):
        return job
    raise UserError(f"There is no job {prefix} here.")


async def find_pictures(bot: Bot, request: Request, prefix: str) -> ImagineJob:
    """The same for a job that drew pictures; raises UserError if it was a training."""
    job = await find_job(bot, request, prefix)
    if isinstance(job, NewerJob):
        raise UserError("That was asked of a newer version of me, and only that one knows what to do with it.")
    if not isinstance(job, ImagineJob):
        raise UserError("That was a training, not pictures.")
    return job

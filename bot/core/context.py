"""What every command needs around it, and how it finds a job."""

import logging
import re
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing

from arq.connections import ArqRedis

from bot.core import policy
from bot.core.dispatch import Dispatch
from bot.core.limits import Limits
from bot.core.messages import Accepted, Fetch, Reply, Request
from bot.photos.decoder_pool import DecodePool
from bot.photos.fair_slots import FairSlots
from storage.contract.jobs import Job
from storage.contract.subject_repository import Subjects
from storage.contract.subjects import Subject
from storage.errors import Damaged, Missing, UserError
from storage.ids import is_id, made_s
from storage.lifecycle import erasure
from storage.lifecycle.damaged_jobs import JOB_DAMAGED, end_damaged, job_remains
from storage.objects.store import Store
from storage.settings.bot import BotSettings

log = logging.getLogger(__name__)

ReplyStream = AsyncIterator[Reply]

PREFIX = re.compile(r"[0-9a-f]{1,20}")  # of the id of a job
MATCHES = 100  # newest jobs among which a prefix is looked up: every job of a space may begin with 0


class CommandContext:
    """What a command needs around it."""

    settings: BotSettings
    store: Store
    redis: ArqRedis
    dispatch: Dispatch
    subjects: Subjects
    limits: Limits
    retract: dict[str, Callable[[float], Awaitable[str]]]  # by platform: takes back what was posted of what is deleted
    decoders: DecodePool
    pdf_checks: FairSlots

    async def accept(self, job: Job) -> Accepted:
        """Take a job on; raises UserError, with nothing done, where that is too much."""
        await self.limits.admit(job)
        await self.dispatch.accept(job)
        return Accepted(job=job.id)

    async def retract_posted(self, space: str, request: Request) -> str:
        """Take back what was posted of what a request deletes; a sentence says what could not be, if anything."""
        take_back = self.retract.get(space.partition(":")[0])
        return await take_back(made_s(request.id)) if take_back else ""

    async def open_jobs_about(self, subject: Subject) -> list[Job]:
        """The open jobs that learn or draw a subject."""
        return [job for job in await self.dispatch.jobs(subject.space, only_open=True) if subject.id in job.subjects]

    async def finish_erasure(self, begun: erasure.Erasure, open_jobs: Sequence[Job]) -> erasure.Receipt:
        """Remove what is left of a subject that is being forgotten; workers need not look to see that its jobs went."""
        await self.dispatch.note_forgotten(begun.subject.id)
        receipt = await erasure.finish(self.store, begun)
        for job in open_jobs:
            await self.dispatch.unqueue(job)
        return receipt

    async def subject_of(self, job: Job) -> Subject | None:
        """The subject of a job, the first that is not forgotten of several."""
        return next(iter(await self.subjects_of(job)), None)

    async def subjects_of(self, job: Job) -> list[Subject]:
        """All subjects of a job that are not forgotten; one whose record is damaged is left out and logged."""
        subjects = []
        for subject in job.subjects:
            try:
                subjects.append(await self.subjects.get(subject))
            except Missing:  # forgotten
                continue
            except Damaged as error:
                log.error("a subject is left out: %s", error)
        return subjects


class Application(CommandContext, ABC):
    """What messages that follow a job need: answers to requests, and jobs to follow. `bot.app` is the one there is."""

    @abstractmethod
    def answer(self, request: Request, fetch: Fetch | None = None) -> AsyncGenerator[Reply, None]:
        """Answer a request, with files from `fetch`: each reply takes the place of the one before. Never raises."""

    async def last_reply(self, request: Request, fetch: Fetch | None = None) -> Reply:
        """The last reply to a request, for an answer that only the asker sees."""
        reply = Reply(text="Done.")
        async with aclosing(self.answer(request, fetch)) as replies:
            async for reply in replies:  # noqa: B007 (only the last counts)
                pass
        return reply

    @abstractmethod
    def watch(self, job_id: str) -> ReplyStream:
        """Follow a job to its end, from wherever it is now; raises StoreError, OSError or RedisError."""


async def may_see_job(bot: CommandContext, request: Request, job: Job) -> bool:
    """Whether the person may see a job, its prompt and its pictures."""
    if job.owner == request.user and job.space == request.space:  # as is most often asked: nothing is read for it
        return True
    return policy.may_see_job(job, await bot.subjects_of(job), request.actor)


async def find_job(bot: CommandContext, request: Request, prefix: str, *, to_remove: bool = False) -> Job:
    """The newest job whose id begins with `prefix` that the person may see, or else cancel if that is what for.

    Raises UserError if there is none: it says the same of jobs that are not there and of those of others.
    """
    # May-cancel first: a moderator can remove what they must not see.
    for job in await _beginning_so(bot, request, prefix):
        if (to_remove and policy.may_cancel(job, request.actor)) or await may_see_job(bot, request, job):
            return job
    raise UserError(f"There is no job {prefix[:20]} here.")


async def _beginning_so(bot: CommandContext, request: Request, prefix: str) -> list[Job]:
    """The jobs of the person's spaces whose ids begin so; one alone for a whole id."""
    if is_id(prefix):
        try:
            return [await bot.dispatch.job(prefix)]
        except Missing:
            return []
        except Damaged:
            raise UserError(await _damaged(bot, request, prefix)) from None
    if not PREFIX.fullmatch(prefix):
        return []
    spaces = (request.space, *request.own_spaces)
    return [job for space in spaces for job in await bot.dispatch.jobs(space, beginning=prefix, most=MATCHES)]


async def _damaged(bot: CommandContext, request: Request, job: str) -> str:
    """End a job whose record is damaged; say how it ended, which tells its prompt, to nobody but its owner."""
    sentence, remains = await end_damaged(bot.store, job), await job_remains(bot.store, job)
    return sentence if remains and policy.may_see_job(remains, (), request.actor) else JOB_DAMAGED

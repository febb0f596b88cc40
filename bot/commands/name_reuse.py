"""Names of new subjects: which can be taken, and what goes for it: a subject whose only training has failed."""

import time

from bot.core.context import CommandContext
from bot.core.messages import Request
from storage.contract.jobs import job_key
from storage.contract.subjects import Subject
from storage.errors import Damaged, UserError
from storage.kinds import kind_of
from storage.kinds.train import TrainJob
from storage.lifecycle import erasure

ACCEPTED_WITHIN_S = 60.0  # a training that was not by then will not be any more
TAKEN = "There is already a subject called {name} here. Choose another name."
DAMAGED = "There is a subject called {name} here whose record is damaged. Forget it first: /dreambooth forget {name}"
DRAWN = (
    "There is already a subject called {name} here, of which pictures were asked for. Train it again with "
    "/dreambooth retrain {name}, or delete it with them: /dreambooth forget {name}"
)


async def check_name(bot: CommandContext, request: Request, name: str) -> Subject | None:
    """The subject that a new one of this name would replace, if any; nothing is changed. Raises UserError if taken.

    Failed and abandoned subjects of the same person are replaced, unless somebody has asked for pictures of them.
    """
    try:
        holder = await bot.subjects.find(request.space, name)
    except Damaged:
        raise UserError(DAMAGED.format(name=name)) from None
    if not holder:
        return None
    is_failed = holder.state == "failed" or await _was_abandoned(bot, request, holder)
    if holder.owner != request.user or not is_failed:
        raise UserError(TAKEN.format(name=holder.name))
    if holder.has_photo_source and await _is_drawn(bot, holder):
        raise UserError(DRAWN.format(name=holder.name))
    return holder


async def take_name(bot: CommandContext, request: Request, subject: Subject) -> None:
    """Give a new subject, whose photos are stored, its name; whoever it replaces is deleted.

    Raises UserError if the name is taken; then, or if anything else fails, the new subject is deleted.
    """
    try:
        await _free_name(bot, request, subject.name)
        await bot.subjects.name(subject)
    except BaseException:
        await bot.subjects.forget(subject)
        raise


async def _free_name(bot: CommandContext, request: Request, name: str) -> None:
    """Delete the subject that a new one replaces, if any; raises UserError if the name is taken."""
    replaced = await check_name(bot, request, name)
    if not replaced:
        return
    # A failed training keeps its photos for a retrain; a new one under its name brings photos of its own.
    if not replaced.has_photo_source:
        await bot.subjects.forget(replaced)
        return
    begun = await erasure.begin(bot.store, replaced)  # its first look goes as well
    await bot.finish_erasure(begun, await bot.open_jobs_about(replaced))
    await bot.retract_posted(replaced.space, request)


async def _is_drawn(bot: CommandContext, subject: Subject) -> bool:
    """Whether there are drawings of a subject besides those that its trainings have asked for."""
    jobs = [await bot.dispatch.index.job(job) for job in await bot.dispatch.index.about(subject.id)]
    first_looks = {job.first_look for job in jobs if isinstance(job, TrainJob)}
    return any(job and not kind_of(job).learns and job.id not in first_looks for job in jobs)


async def _was_abandoned(bot: CommandContext, request: Request, subject: Subject) -> bool:
    """Whether a process died between storing a subject and accepting its training, perhaps in this very request."""
    if subject.job == request.id:
        return True
    # Young ones may still be on their way to being accepted in another process.
    old = time.time() - subject.created_s > ACCEPTED_WITHIN_S
    return old and subject.job is not None and not await bot.store.exists(job_key(subject.job))

"""The commands that draw pictures, draw them again, vary them, show one whole, and delete them."""

from random import SystemRandom
from typing import Any

from bot.arguments import prompts
from bot.arguments.arguments import (
    DeleteArguments,
    ImagineArguments,
    JobArguments,
    PictureArguments,
    VariationsArguments,
)
from bot.commands.command import command
from bot.core import access, policy
from bot.core.context import CommandContext, ReplyStream, find_job, may_see_job
from bot.core.messages import Reply, Request
from bot.kinds import presenter_of
from storage.contract.compatibility import check_compatible
from storage.contract.subjects import Subject
from storage.errors import Damaged, Missing, UserError
from storage.kinds import kind_of
from storage.kinds.imagine import IMAGINE, ImagineJob
from storage.lifecycle.finalize import delete_job, delete_picture
from storage.nouns import with_article
from storage.text import plural


@command("imagine", "Draw pictures; [name] stands for a subject.", "everyone")
async def imagine(bot: CommandContext, request: Request, given: ImagineArguments) -> ReplyStream:
    """Draw pictures from a prompt."""
    known = await access.named(bot, request, prompts.names_in(given.prompt, given.subject))
    named = prompts.find_subjects(given.prompt, known, request.user, given.subject)
    # Ids, not names: a name may be given to another subject while the job waits.
    subjects = tuple(subject.id for subject in prompts.different(named))
    job = ImagineJob(
        **request.origin,
        said=f"/imagine {given.prompt}",
        prompt=given.prompt,
        subjects=subjects,
        **_written(given.prompt, named),
        count=given.count,
        seed=_chance() if given.seed is None else given.seed,
        negative=given.negative,
        exact=given.exact == "yes",
        quality=given.quality,
        **_settings(given),
        **given.shape(),
    )
    yield await bot.accept(job)


def _written(prompt: str, named: prompts.Named) -> dict[str, Any]:
    """The prompt as the model reads it, by what its subjects are drawn from now."""
    if prompts.from_photos(named):
        return {"model_prompt": prompts.photo_prompt(prompt, named), "from_photos": True}
    return {"model_prompt": prompts.model_prompt(prompt, named), "from_photos": False}


def _settings(given: ImagineArguments) -> dict[str, Any]:
    """What the person asked for, and which settings nobody asked for: there the base model may have its own."""
    options = {"steps": given.steps, "guidance": given.guidance, "scheduler": given.scheduler}
    # Only the worker knows the base model's own values, which may differ from the usual ones.
    asked = {name: value for name, value in options.items() if value is not None}
    return {**asked, "unasked": tuple(name for name in options if name not in asked)}


def _chance() -> int:
    # Seeds are shown to people, who type them again: so they stay short.
    return SystemRandom().randrange(2**31)


@command("again", "Draw the same prompt again.", "everyone", hidden=True)
async def again(bot: CommandContext, request: Request, given: JobArguments) -> ReplyStream:
    """Draw the same prompt once more, with other seeds."""
    async for reply in _redraw(bot, request, await find_pictures(bot, request, given.job), _chance(), {}):
        yield reply


@command("variations", "Draw variations of a picture.", "everyone", hidden=True)
async def variations(bot: CommandContext, request: Request, given: VariationsArguments) -> ReplyStream:
    """Draw pictures that are near one of before."""
    old = await find_pictures(bot, request, given.job)
    change = {"vary_seed": given.seed, "count": 4}
    async for reply in _redraw(bot, request, old, _chance(), change):
        yield reply


async def _redraw(
    bot: CommandContext, request: Request, old: ImagineJob, seed: int, change: dict[str, Any]
) -> ReplyStream:
    fixed = {"prompt", "said", "subjects", "negative", "quality", "scheduler", "unasked"}
    fixed |= {"size_px", "width_px", "height_px", "aspect"}
    settings = old.model_dump(include={*fixed, "count", "steps", "guidance"})
    subjects = await bot.subjects_of(old)
    what = "A" if len(old.subjects) > 1 else "The"
    if len(subjects) < len(old.subjects):
        raise UserError(f"{what} subject of these pictures is forgotten, so they cannot be drawn again.")
    # Who sees a picture need not be allowed to draw its subject: it may have been made private since.
    access.must_draw(subjects, request, f"{what} subject of these pictures is not shared with you here.")
    check_compatible(subjects)
    settings |= _rewritten(old, subjects)
    job = ImagineJob(**{**settings, **request.origin, "seed": seed, **change})
    yield await bot.accept(job)


def _rewritten(old: ImagineJob, subjects: list[Subject]) -> dict[str, Any]:
    """The prompt of a drawing as it was, unless its subject is drawn from something else by now."""
    now = len(subjects) == 1 and subjects[0].is_drawn_from_photos
    if now == old.from_photos:
        # The subject's identifier does not change when it is retrained.
        return {"model_prompt": old.model_prompt, "from_photos": old.from_photos}
    return _written(old.prompt, prompts.named_again(old.prompt, subjects))


@command("full", "Show one picture in full size.", "everyone", hidden=True)
async def full(bot: CommandContext, request: Request, given: PictureArguments) -> ReplyStream:
    """Show one picture of several as the file it is."""
    job = await find_pictures(bot, request, given.job)
    outcome = await IMAGINE.read_outcome(bot.store, job.id)
    if not outcome or given.number > len(outcome.pictures):
        raise UserError(f"There is no picture {given.number} there.")
    picture = outcome.pictures[given.number - 1]
    yield Reply(text=f"{job.prompt} (seed {picture.seed})", pictures=(picture,))


@command("details", "Show the prompt, seeds and settings of pictures.", hidden=True)
async def about(bot: CommandContext, request: Request, given: JobArguments) -> ReplyStream:
    """The details command: everything that made some pictures."""
    job = await find_job(bot, request, given.job)
    outcome = await bot.dispatch.outcome(job)
    if not outcome:
        raise UserError("That is not finished yet.")
    yield Reply(text=job.said, facts=presenter_of(job).details(job, outcome, await bot.subjects_of(job)))


@command("delete", "Delete pictures.", "in place", hidden=True)
async def delete(bot: CommandContext, request: Request, given: DeleteArguments) -> ReplyStream:
    """Delete one picture, or all of a job and every trace of it."""
    job = await find_pictures(bot, request, given.job, to_remove=True)
    policy.check(request.actor, "delete", job)
    if given.seed is not None:
        yield await _delete_one(bot, request, job, given.seed)
        return
    # Cancelled first, so that no worker publishes pictures of a job that is deleted.
    await bot.dispatch.cancel(job)
    try:
        outcome = await IMAGINE.read_outcome(bot.store, job.id)
    except Damaged:
        outcome = None
    await delete_job(bot.store, job.id, job)
    deleted = f"Deleted {plural(len(outcome.pictures) if outcome else 0, 'picture')}."
    yield Reply(text=f"{deleted} {await bot.retract_posted(job.space, request)}".strip())


async def _delete_one(bot: CommandContext, request: Request, job: ImagineJob, seed: int) -> Reply:
    """Delete the picture of a seed; the reply shows those that are left. With the last one the job goes.

    A moderator who may not see the job is shown nothing.
    """
    if not await bot.dispatch.outcome(job):
        raise UserError("That is not finished yet.")
    try:
        outcome = await delete_picture(bot.store, job, seed)
    except Missing:
        raise UserError("These pictures have been deleted already.") from None
    # An empty grid is of no use, and the prompt of deleted pictures should not stay in lists.
    if not outcome.pictures:
        await delete_job(bot.store, job.id, job)
    deleted = f"Deleted the picture with seed {seed}: {plural(len(outcome.pictures), 'picture')} left."
    deleted = f"{deleted} {await bot.retract_posted(job.space, request)}".strip()
    if not outcome.pictures or not await may_see_job(bot, request, job):
        return Reply(text=deleted)
    reply = presenter_of(job).finished(job, outcome, await bot.subjects_of(job))
    return reply.model_copy(update={"text": f"{deleted}\n{reply.text}"})


async def find_pictures(bot: CommandContext, request: Request, prefix: str, *, to_remove: bool = False) -> ImagineJob:
    """The job that drew pictures, found as `find_job` does; raises UserError if it was of another kind."""
    job = await find_job(bot, request, prefix, to_remove=to_remove)
    if not job.is_understood:
        raise UserError("That was asked of a newer version of me, and only that one knows what to do with it.")
    if not (drawing := IMAGINE.of_this_kind(job)):
        raise UserError(f"That was {with_article(kind_of(job).noun)}, not pictures.")
    return drawing

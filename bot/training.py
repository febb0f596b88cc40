"""The command that learns a subject: vet the photos, keep them, hand the training to a worker."""

import asyncio

from bot import photos
from bot.arguments import TrainArguments
from bot.core import Answers, Bot
from bot.messages import Reply, Request
from bot.replies import plural
from storage.errors import UserError
from storage.jobs import TrainJob
from storage.subjects import Photo, Subject


async def train(bot: Bot, request: Request, given: TrainArguments) -> Answers:
    """Learn a subject from photos."""
    check_number(len(request.uploads), bot.settings.photos_max)
    await _free_name(bot, request, given.name)
    yield Reply(text=f"Looking at your {plural(len(request.uploads), 'photo')}.", state="working")
    vetting = await asyncio.to_thread(photos.vet, request.uploads, bot.settings)
    if not vetting.accepted:
        raise UserError(f"{vetting.summary} Nothing was trained.")
    subject = Subject(
        space=request.space,
        owner=request.user,
        name=given.name,
        noun=given.noun,
        base_model=bot.settings.base_model,
        method=given.method,
    )
    job = TrainJob(
        id=request.id,
        space=request.space,
        owner=request.user,
        said=f"/dreambooth train {given.name} {given.noun}",
        subject=subject.id,
        method=given.method,
        steps=given.steps,
        seed=given.seed,
        note=vetting.summary,
    )
    await _keep(bot, subject.model_copy(update={"job": job.id}), vetting.accepted)
    await bot.dispatch.accept(job)
    async for reply in bot.watch(job.id):
        yield reply


def check_number(given: int, most: int) -> None:
    """Raise UserError for no photos, and for more than `most`; a front end may ask before it fetches them."""
    if not given:
        raise UserError("Add a few photos of it: three to six from different sides work best.")
    if given > most:
        raise UserError(f"That is {given} photos; {most} is the most. Three to six good ones are plenty.")


async def _free_name(bot: Bot, request: Request, name: str) -> None:
    """Make sure the name can be taken; a subject of the same person that failed makes room."""
    taken = await bot.subjects.find(request.space, name)
    if taken and taken.state == "failed" and taken.owner == request.user:
        await bot.subjects.forget(taken)
    elif taken:
        raise UserError(f"There is already a subject called {taken.name} here. Choose another name.")


async def _keep(bot: Bot, subject: Subject, accepted: tuple[photos.Prepared, ...]) -> None:
    """Store a new subject with its photos, or nothing at all."""
    await bot.subjects.add(subject)
    try:
        kept = []
        for photo in accepted:
            key = f"subjects/{subject.id}/photos/{photo.sha256}.{photo.extension}"
            await bot.store.put(key, photo.data)
            kept.append(Photo(key=key, sha256=photo.sha256, name=photo.name, side_px=photo.side_px))
        await bot.subjects.change(subject.id, lambda s: s.model_copy(update={"photos": tuple(kept)}))
    except BaseException:
        await bot.subjects.forget(subject)
        raise

"""The commands, written once: a request in, replies out, for every chat."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from random import SystemRandom
from typing import Any

from bot import photos, prompts
from bot.arguments import (
    Arguments,
    ImagineArguments,
    JobArguments,
    Nothing,
    SubjectArguments,
    TrainArguments,
    VariationsArguments,
    check,
)
from bot.dispatch import Dispatch
from bot.messages import Button, Reply, Request
from bot.replies import details, duration, forget_button, plural
from storage.errors import Missing, UserError
from storage.files import Store
from storage.jobs import SEED_MAX, ImagineJob, TrainJob
from storage.settings import Settings
from storage.subjects import Photo, Subject, Subjects

Answers = AsyncIterator[Reply]


class Bot(ABC):
    """What a command needs around it."""

    settings: Settings
    store: Store
    dispatch: Dispatch
    subjects: Subjects

    @abstractmethod
    def watch(self, job_id: str) -> Answers:
        """Follow a job to its end."""

    async def subject_of(self, job: TrainJob | ImagineJob) -> Subject | None:
        """The subject of a job, unless it has none or it is forgotten."""
        try:
            return await self.subjects.get(job.subject) if job.subject else None
        except Missing:
            return None


async def train(bot: Bot, request: Request, given: TrainArguments) -> Answers:
    """Learn a subject from photos."""
    check_number(len(request.uploads), bot.settings.photos_max)
    if given.method != "full":
        raise UserError("The method lora is not there yet; use full.")
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


async def imagine(bot: Bot, request: Request, given: ImagineArguments) -> Answers:
    """Draw pictures from a prompt."""
    known = await bot.subjects.in_space(request.space) if "[" in given.prompt or given.subject else []
    subject = prompts.find_subject(given.prompt, known, request.user, given.subject)
    job = ImagineJob(
        id=request.id,
        space=request.space,
        owner=request.user,
        said=f"/imagine {given.prompt}",
        prompt=given.prompt,
        subject=subject.id if subject else None,
        model_prompt=prompts.model_prompt(given.prompt, subject),
        count=given.count,
        seed=_chance() if given.seed is None else given.seed,
        steps=given.steps,
        guidance=given.guidance,
        negative=given.negative,
        scheduler=given.scheduler,
        size_px=given.size,
    )
    await bot.dispatch.accept(job)
    async for reply in bot.watch(job.id):
        yield reply


def _chance() -> int:
    return SystemRandom().randrange(2**31)


async def again(bot: Bot, request: Request, given: JobArguments) -> Answers:
    """Draw the same prompt once more, with other seeds."""
    async for reply in _redraw(bot, request, await _imagined(bot, request, given.job), _chance(), {}):
        yield reply


async def variations(bot: Bot, request: Request, given: VariationsArguments) -> Answers:
    """Draw pictures near one of before: its seed, with the guidance and steps moved a little."""
    old = await _imagined(bot, request, given.job)
    change = {"guidance": round(max(1.0, old.guidance * 0.7), 2), "count": 4}
    async for reply in _redraw(bot, request, old, (given.seed + 1) % SEED_MAX, change):
        yield reply


async def _redraw(bot: Bot, request: Request, old: ImagineJob, seed: int, change: dict[str, Any]) -> Answers:
    fixed = {"space", "prompt", "said", "subject", "model_prompt", "negative", "scheduler", "size_px"}
    kept = old.model_dump(include={*fixed, "count", "steps", "guidance"})
    if old.subject and not await bot.subject_of(old):
        raise UserError("The subject of these pictures is forgotten, so they cannot be drawn again.")
    job = ImagineJob(**{**kept, "id": request.id, "owner": request.user, "seed": seed, **change})
    await bot.dispatch.accept(job)
    async for reply in bot.watch(job.id):
        yield reply


async def _job(bot: Bot, request: Request, prefix: str) -> TrainJob | ImagineJob:
    for job in await bot.dispatch.jobs(request.space):
        if job.id.startswith(prefix):
            return job
    raise UserError(f"There is no job {prefix} here.")


async def _imagined(bot: Bot, request: Request, prefix: str) -> ImagineJob:
    job = await _job(bot, request, prefix)
    if not isinstance(job, ImagineJob):
        raise UserError("That was a training, not pictures.")
    return job


async def cancel(bot: Bot, request: Request, given: JobArguments) -> Answers:
    """Stop a job that waits or runs."""
    job = await _job(bot, request, given.job)
    if not await bot.dispatch.cancel(job):
        raise UserError("That has already ended.")
    async for reply in bot.watch(job.id):
        if reply.state != "working":
            yield Reply(text=f"Stopped: {job.said}" if reply.state == "cancelled" else reply.text, job=job.id)


async def delete(bot: Bot, request: Request, given: JobArguments) -> Answers:
    """Delete pictures and every trace of the job that made them."""
    job = await _imagined(bot, request, given.job)
    await bot.dispatch.cancel(job)
    outcome = await bot.dispatch.outcome(job.id)
    await bot.store.delete_prefix(f"jobs/{job.id}/")
    yield Reply(text=f"Deleted {plural(len(outcome.pictures) if outcome else 0, 'picture')}.")


async def forget(bot: Bot, request: Request, given: SubjectArguments) -> Answers:
    """Forget a subject: photos, what was learned, and the pictures of it."""
    subject = prompts.by_name(given.name, await bot.subjects.in_space(request.space))
    jobs = [job for job in await bot.dispatch.jobs(request.space) if job.subject == subject.id]
    for job in jobs:
        await bot.dispatch.cancel(job)
    removed = await bot.subjects.forget(subject)
    for job in jobs:
        removed += await bot.store.delete_prefix(f"jobs/{job.id}/")
    yield Reply(
        text=f"Forgot {subject.name}: {plural(len(removed), 'file')} deleted.", facts={"deleted": "\n".join(removed)}
    )


async def subjects(bot: Bot, request: Request, given: Nothing) -> Answers:
    """List the subjects of this space."""
    known = await bot.subjects.in_space(request.space)
    if not known:
        yield Reply(text="No subjects yet. Send a few photos with /dreambooth train NAME CLASS.")
        return
    buttons = tuple(Button(label=s.name, command="dreambooth show", arguments={"name": s.name}) for s in known)
    yield Reply(
        text=f"{plural(len(known), 'subject')}:",
        facts={s.name: f"{s.noun}, {s.state}" for s in known},
        pictures=tuple(s.samples[-1] for s in known if s.samples),
        buttons=buttons,
    )


async def show(bot: Bot, request: Request, given: SubjectArguments) -> Answers:
    """Show one subject: its sample pictures, how it was learned."""
    subject = prompts.by_name(given.name, await bot.subjects.in_space(request.space))
    facts = {"class": subject.noun, "state": subject.state, "photos": str(len(subject.photos))}
    if subject.state == "ready" and subject.job and (outcome := await bot.dispatch.outcome(subject.job)):
        facts |= details(await bot.dispatch.job(subject.job), outcome, subject)
    facts |= {name: str(value) for name, value in subject.recipe.items()}
    yield Reply(
        text=f"{subject.name}, a {subject.noun}: write [{subject.name}] in a prompt.",
        pictures=subject.samples,
        facts=facts,
        buttons=(forget_button(subject),),
    )


async def jobs(bot: Bot, request: Request, given: Nothing) -> Answers:
    """List the jobs of this space, newest first."""
    known = (await bot.dispatch.jobs(request.space))[:20]
    facts = {}
    for job in known:
        outcome = await bot.dispatch.outcome(job.id)
        facts[job.id] = f"{job.said} — {f'{outcome.state}, {duration(outcome.seconds)}' if outcome else 'open'}"
    yield Reply(text=f"{plural(len(known), 'job')}, newest first:" if known else "No jobs yet.", facts=facts)


async def show_help(bot: Bot, request: Request, given: Nothing) -> Answers:
    """Say what can be asked."""
    yield Reply(
        text="Send a few photos of something with /dreambooth train NAME CLASS, then draw it with /imagine.",
        facts={f"/{c.usage}": c.summary for c in COMMANDS.values() if not c.hidden},
    )


@dataclass(frozen=True)
class Command:
    """One command: how it is called, what it takes, what answers it."""

    name: str
    summary: str
    arguments: type[Arguments]
    answer: Callable[[Bot, Request, Any], Answers]
    takes_photos: bool = False
    hidden: bool = False  # sent by buttons, not typed

    @property
    def usage(self) -> str:
        """How to type it."""
        required = [f.alias or n for n, f in self.arguments.model_fields.items() if f.is_required()]
        options = " [--option value …]" if len(required) < len(self.arguments.model_fields) else ""
        return f"{self.name} {' '.join(r.upper() for r in required)}".strip() + options

    def check(self, values: dict[str, str]) -> Arguments:
        """Build the arguments; raises UserError with a sentence per problem."""
        try:
            return check(self.arguments, values)
        except ValueError as error:
            raise UserError(str(error)) from None


COMMANDS: dict[str, Command] = {
    c.name: c
    for c in (
        Command("imagine", "Draw pictures; [name] stands for a subject.", ImagineArguments, imagine),
        Command("dreambooth train", "Learn a subject from the photos you attach.", TrainArguments, train, True),
        Command("dreambooth list", "List the subjects.", Nothing, subjects),
        Command("dreambooth show", "Show one subject.", SubjectArguments, show),
        Command("dreambooth forget", "Forget a subject and delete all of it.", SubjectArguments, forget),
        Command("dreambooth cancel", "Stop a job that waits or runs.", JobArguments, cancel),
        Command("jobs", "List the jobs.", Nothing, jobs),
        Command("help", "Say what can be asked.", Nothing, show_help),
        Command("again", "Draw the same once more.", JobArguments, again, hidden=True),
        Command("variations", "Draw pictures like one of before.", VariationsArguments, variations, hidden=True),
        Command("delete", "Delete pictures.", JobArguments, delete, hidden=True),
    )
}

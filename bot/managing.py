"""The commands that list, show, cancel and forget."""

from bot import prompts
from bot.arguments import JobArguments, Nothing, SubjectArguments
from bot.core import Answers, Bot, find_job
from bot.messages import Button, Reply, Request
from bot.replies import details, duration, forget_button, plural
from storage.errors import UserError


async def cancel(bot: Bot, request: Request, given: JobArguments) -> Answers:
    """Stop a job that waits or runs."""
    job = await find_job(bot, request, given.job)
    if not await bot.dispatch.cancel(job):
        raise UserError("That has already ended.")
    async for reply in bot.watch(job.id):
        if reply.state != "working":
            yield Reply(text=f"Stopped: {job.said}" if reply.state == "cancelled" else reply.text, job=job.id)


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

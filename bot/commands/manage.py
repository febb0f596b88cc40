"""The commands that list, show, share, cancel and forget."""

import logging

from bot.arguments import prompts
from bot.arguments.arguments import JobArguments, NoArguments, ShareArguments, SubjectArguments
from bot.commands import train_together
from bot.commands.command import command
from bot.commands.erase_person import forget_me
from bot.core import access, policy
from bot.core.audience import audience, place
from bot.core.chat_log import ChatLog
from bot.core.context import CommandContext, ReplyStream, find_job
from bot.core.messages import SHOWN, Reply, Request
from bot.core.policy import is_direct, is_local
from bot.kinds import presenter_of, report_card
from bot.kinds.candidate_choice import choice as open_choice
from bot.kinds.presenter import in_words
from bot.kinds.subject_buttons import about_subject, forget_button, show_button
from storage.contract.jobs import NEWER_WORKER, Job, job_key
from storage.contract.subjects import Subject
from storage.errors import Damaged, Missing, UserError
from storage.lifecycle import erasure
from storage.nouns import with_article
from storage.text import duration, plural

log = logging.getLogger(__name__)


@command("dreambooth cancel", "Cancel a queued or running job.")
async def cancel(bot: CommandContext, request: Request, given: JobArguments) -> ReplyStream:
    """Stop a job that waits or runs."""
    job = await find_job(bot, request, given.job, to_remove=True)
    policy.check(request.actor, "stop", job)
    prompt = await access.visible_prompt(bot, request, job)
    if not await bot.dispatch.cancel(job):
        raise UserError("That has already ended.")
    yield Reply(text=f"Stopped: {prompt}", job=job.id)


@command(
    "dreambooth forget",
    "Delete a subject with its photos, weights and pictures.",
    asks_first=True,
    needs_subjects=1,
)
async def forget(bot: CommandContext, request: Request, given: SubjectArguments) -> ReplyStream:
    """Forget a subject, after a question: photos, what was learned, and the pictures of it."""
    if await access.means_all(bot, request, given.name):
        async for reply in forget_me.answer(bot, request, NoArguments()):
            yield reply
        return
    subject = await access.forgettable(bot, request, given.name)
    if question := request.confirmation(forget_button(subject)):
        yield question
        return
    # Written down first: an erasure that is interrupted here is finished by any bot.
    begun = await erasure.begin(bot.store, subject)
    open_jobs = await bot.open_jobs_about(subject)
    # Before anything is removed: afterwards nobody can tell who was trained together with it.
    left = await train_together.effect_on_others(bot, request, subject, open_jobs)
    receipt = await bot.finish_erasure(begun, open_jobs)
    if is_local(request.space):
        await ChatLog(bot.store, request.space).forget(subject.name, request.id, lambda job: _is_there(bot, job))
    counted = f"Forgot {subject.name}: {plural(len(receipt.removed), 'file')} deleted."
    yield Reply(
        text=" ".join(filter(None, [counted, left, await bot.retract_posted(subject.space, request)])),
        facts={"receipt": receipt.subject, "deleted": "\n".join(receipt.removed)},
    )


async def _is_there(bot: CommandContext, job: str) -> bool:
    return await bot.store.exists(job_key(job))


@command("dreambooth list", "List the subjects.")
async def subjects(bot: CommandContext, request: Request, given: NoArguments) -> ReplyStream:
    """List the subjects of this space that the person may see."""
    known = await access.visible_subjects(bot, request)
    if not known:
        yield Reply(text="No subjects yet. Send a few photos with /dreambooth train NAME CLASS.")
        return
    yield Reply(
        text=f"{plural(len(known), 'subject')}:",
        facts={s.name: f"{s.noun}, {s.state}" for s in known},
        pictures=tuple(s.samples[-1].model_copy(update={"caption": s.name}) for s in known if s.samples),
        buttons=tuple(show_button(subject, subject.name) for subject in known),
    )


@command("dreambooth show", "Show one subject.", needs_subjects=1)
async def show(bot: CommandContext, request: Request, given: SubjectArguments) -> ReplyStream:
    """Show one subject: its sample pictures, how it was learned and how well, what there is to do about it."""
    subject = prompts.by_name(given.name, await access.visible_subjects(bot, request))
    facts = {"class": subject.noun, "state": subject.state, "photos": _photos(subject)}
    facts["shared with"] = audience(subject)
    # In a direct message there are no moderators to speak of.
    if not is_direct(subject.space):
        facts["shared with"] += "; moderators can only forget it"
    facts |= await _details(bot, subject)
    if subject.recipe:
        facts["recipe"] = ", ".join(f"{in_words(name)} {value}" for name, value in subject.recipe.items())
    # A message has room for so many, and the report cards' pictures.
    newest = subject.samples[-(SHOWN - 1 - bool(subject.compared)) :]
    pictures = tuple(p.model_copy(update={"caption": f"{subject.name}, {p.caption}"}) for p in newest)
    lines = [
        f"{subject.name}, {with_article(subject.noun)}: write [{subject.name}] in a prompt.",
        report_card.advice_on(subject),
        report_card.on_sources(subject),
    ]
    buttons = tuple(button for button in about_subject(subject) if button.label != "Show")
    if choice := open_choice(subject):
        lines.append(choice.text)
        pictures, buttons = choice.pictures, (*choice.buttons, *buttons)
    yield Reply(
        text="\n".join(filter(None, lines)),
        pictures=tuple(filter(None, (*pictures, subject.before_after, subject.compared))),
        facts=facts,
        buttons=buttons,
        place=place(subject),
    )


def _photos(subject: Subject) -> str:
    """How many there are, and how many differ if some do not."""
    there, differ = len(subject.photos), subject.photos_differ
    return f"{there}, of which {differ} differ" if 1 < differ < there else str(there)


@command("dreambooth share", "Share a subject: set who may draw it.", needs_subjects=1)
async def share(bot: CommandContext, request: Request, given: ShareArguments) -> ReplyStream:
    """Set the audience of a subject: only its owner, a channel, a group, or the whole space."""
    subject = prompts.by_name(given.name, await access.visible_subjects(bot, request))
    policy.check(request.actor, "share", subject)
    if not given.group and not given.audience:
        raise UserError("Say with whom: private, channel, space, or a role or user group.")
    shared = access.shared(request, given.audience, given.group)
    # A change of the record as it is now: a training may end at this moment and write it, too.
    subject = await bot.subjects.change(subject.id, lambda s: s.model_copy(update=shared))
    text = f"{subject.name} can now be drawn by you and {audience(subject)}."
    yield Reply(text=text, place=place(subject))


@command("jobs", "List the jobs.")
async def jobs(bot: CommandContext, request: Request, given: NoArguments) -> ReplyStream:
    """List the jobs of this space, newest first."""
    known = await bot.dispatch.jobs(request.space, most=20)
    facts = {}
    for job in known:
        # Others' private work is listed as somebody's, so that people see how long they wait and why.
        prompt = await access.visible_prompt(bot, request, job)
        facts[job.id] = f"{prompt} — {await _standing(bot, job)}"
    yield Reply(text=f"{plural(len(known), 'job')}, newest first:" if known else "No jobs yet.", facts=facts)


async def _standing(bot: CommandContext, job: Job) -> str:
    """How a job stands, in a few words."""
    try:
        outcome = await bot.dispatch.outcome(job)
    except Damaged:
        return "ended; how is damaged in the storage"
    if outcome:
        return f"{outcome.state}, {duration(outcome.seconds)}"
    return "open" if job.is_understood else NEWER_WORKER


async def _details(bot: CommandContext, subject: Subject) -> dict[str, str]:
    """What made a subject, if that is known."""
    try:
        job = await bot.dispatch.job(subject.job) if subject.state == "ready" and subject.job else None
        if job and (outcome := await bot.dispatch.outcome(job)):
            return presenter_of(job).details(job, outcome, [subject])
    except Missing:
        return {}
    except Damaged as error:
        log.warning("what made %s is left out: %s", subject.id, error)
    return {}

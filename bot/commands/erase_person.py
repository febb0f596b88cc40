"""Forgetting everything of a person: at their wish, or because they or a whole space have left."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

from bot.arguments.arguments import NoArguments
from bot.commands import consents, drafts
from bot.commands.command import command
from bot.core import damaged_subjects
from bot.core.chat_log import ChatLog
from bot.core.context import CommandContext, ReplyStream
from bot.core.job_owners import forget_owners
from bot.core.messages import Button, Reply, Request
from bot.core.policy import is_local, made_by
from bot.kinds.subject_buttons import FORGET_ALL
from storage.ask.documents import Documents
from storage.contract.jobs import Job
from storage.contract.subject_repository import Subjects
from storage.contract.subjects import NAMES, Subject, name_prefix, subject_key
from storage.errors import Damaged, Missing, Newer
from storage.lifecycle import erasure
from storage.lifecycle.damaged_jobs import job_remains
from storage.lifecycle.finalize import delete_job
from storage.lifecycle.job_index import JobIndex
from storage.objects.store import Store
from storage.queue.redis_errors import best_effort
from storage.text import plural

UNKNOWN_OWNER = (
    "Not deleted: {records} without a readable owner, damaged or written by a newer version. "
    "Whoever runs this bot can list damaged ones with `darkroom repair`."
)


@command("forget-me", "Delete all of your data.", asks_first=True)
async def forget_me(bot: CommandContext, request: Request, given: NoArguments) -> ReplyStream:
    """Forget all of a person's subjects, jobs and pictures, wherever on this platform they were made."""
    button = Button(label="Forget everything", command="forget-me", style="danger", confirm=FORGET_ALL)
    if question := request.confirmation(button):
        yield question
        return
    unknown: list[str] = []
    # In all spaces of the platform: whoever wants to be forgotten need not remember where they were.
    subjects = [s async for s in every_subject(bot.store, unknown) if made_by(request.actor, s.space, s.owner)]
    counts = await forget_subjects(bot, subjects)
    # After the subjects, whose erasure deletes most of them already.
    jobs = [job async for job in every_job(bot.store, unknown) if made_by(request.actor, job.space, job.owner)]
    counts += await delete_jobs(bot, jobs)
    with best_effort("who had jobs is remembered for a while"):
        await forget_owners(bot.redis, sorted({job.space for job in jobs}))
    for document in await Documents(bot.store).everywhere():
        if made_by(request.actor, document.space, document.owner):
            await Documents(bot.store).delete(document)
            counts += 1
    counts += await _delete_damaged_documents(bot, request, unknown)
    await _drop_drafts(bot, request)
    await consents.forget(bot.store, request.actor)
    if is_local(request.space):
        log = ChatLog(bot.store, request.space)
        await log.remove([message for message in await log.read() if message.id != request.id])
    summary = f"Forgot everything of yours: {plural(len(subjects), 'subject')}, {plural(counts, 'file')} deleted."
    left = UNKNOWN_OWNER.format(records=plural(len(unknown), "record")) if unknown else ""
    yield Reply(text=" ".join(filter(None, [summary, left, await bot.retract_posted(request.space, request)])))


async def forget_subjects(bot: CommandContext, subjects: list[Subject]) -> int:
    """Forget subjects with all jobs about them; return how many objects were deleted."""
    count = 0
    for subject in subjects:
        begun = await erasure.begin(bot.store, subject)
        count += len((await bot.finish_erasure(begun, await bot.open_jobs_about(subject))).removed)
    return count


async def delete_jobs(bot: CommandContext, jobs: list[Job]) -> int:
    """Stop and delete jobs; return how many objects were deleted."""
    count = 0
    for job in jobs:
        # Cancelled before it is deleted, so that no worker publishes into what is gone.
        await bot.dispatch.cancel(job)
        count += len(await delete_job(bot.store, job.id, job))
    return count


async def forget_everything(store: Store, space: str, person: str) -> None:
    """Forget what a person, or anybody for no person, has made in a space; a worker that is at it stops."""
    for subject in [subject async for subject in _subjects(store, name_prefix(space), [])]:
        if subject.space == space and person in ("", subject.owner):
            await erasure.erase_subject(store, subject)
    await Documents(store).delete_all(space, person or None)
    index = JobIndex(store)
    async for ids in index.of_space(space):
        for job in await asyncio.gather(*(_readable_job(store, job) for job in ids)):
            # The index hashes spaces: its entries only say where to look, the record says whose it is.
            if job and job.space == space and person in ("", job.owner):
                await delete_job(store, job.id, job)


async def every_subject(store: Store, unknown: list[str] | None = None) -> AsyncIterator[Subject]:
    """All subjects of all spaces; of those whose records are damaged, what is left if that tells whose they are.

    If it does not, the names of the records are added to `unknown`.
    """
    async for subject in _subjects(store, NAMES, [] if unknown is None else unknown):
        yield subject


async def _subjects(store: Store, prefix: str, unknown: list[str]) -> AsyncIterator[Subject]:
    subjects = Subjects(store)
    async for names in store.pages(prefix):
        for name in names:
            if not (holder := await subjects.holder(name)):
                continue
            with suppress(Missing):
                if subject := await _readable_subject(subjects, holder):
                    yield subject
                else:
                    unknown.append(subject_key(holder))


async def _readable_subject(subjects: Subjects, subject: str) -> Subject | None:
    """A subject, or what is left of it; None if it does not tell whose it was. Raises Missing."""
    with suppress(Damaged):
        record = await subjects.get(subject)
        if record.space and record.owner:
            return record
    return await damaged_subjects.damaged_placeholder(subjects.store, subject)


async def every_job(store: Store, unknown: list[str]) -> AsyncIterator[Job]:
    """All jobs of all spaces; those of damaged records as far as these tell whose they are, else see `unknown`."""
    async for names in store.pages("jobs/"):
        for name in names:
            if not name.endswith("/job.json"):
                continue
            if (job := await _readable_job(store, name.split("/")[1])) and job.owner:
                yield job
            # What was deleted while this ran is not unknown, only gone.
            elif job or await store.exists(name):
                unknown.append(name)


async def _readable_job(store: Store, job: str) -> Job | None:
    """A job, or what is left of it; None if it is deleted, or does not tell whose it was."""
    return await JobIndex(store).job(job) or await job_remains(store, job)


async def _delete_damaged_documents(bot: CommandContext, request: Request, unknown: list[str]) -> int:
    """Delete the person's documents whose records are damaged; those that do not tell whose they are see `unknown`."""
    documents, count = Documents(bot.store), 0
    for document in await documents.damaged():
        if made_by(request.actor, document.space, document.owner):
            await documents.delete_damaged(document)
            count += 1
        elif not (document.space and document.owner):
            unknown.append(document.key)
    return count


async def _drop_drafts(bot: CommandContext, request: Request) -> None:
    for name in await bot.store.names("drafts/"):
        if name.endswith("/draft.json"):
            try:
                draft = await drafts.read(bot.store, name.split("/")[1])
            except (Missing, Damaged, Newer):  # those that cannot be read are deleted after a day, as all are
                continue
            if made_by(request.actor, draft.space, draft.owner):
                await drafts.drop(bot, draft)

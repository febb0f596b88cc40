"""Subjects whose records are damaged: nobody can see or draw them, but they can be forgotten, and free their names."""

from contextlib import suppress

from bot.core import policy
from bot.core.context import CommandContext
from bot.core.messages import Request
from bot.core.policy import is_direct
from storage.contract.records import owner_of, space_of
from storage.contract.subjects import Subject, name_key, subject_key
from storage.errors import Damaged, Missing
from storage.kinds import kind_of
from storage.lifecycle.job_index import JobIndex
from storage.objects.store import Store


async def damaged_placeholder(store: Store, subject: str) -> Subject | None:
    """What stands for a damaged subject, to be forgotten; None unless its record or a training tells whose it is."""
    record, index = (await store.get(subject_key(subject))).data, JobIndex(store)
    space, owner = space_of(record), owner_of(record)
    for job_id in [] if space and owner else await index.about(subject):
        if (job := await index.job(job_id)) and kind_of(job).learns:
            space, owner = job.space, job.owner
    if not space or not owner:
        return None
    return Subject(id=subject, space=space, owner=owner, name="", noun="", base_model="", state="failed")


async def damaged_subject(bot: CommandContext, request: Request, name: str) -> Subject | None:
    """What stands for the subject of that name, to be forgotten; None unless its record is damaged.

    Raises UserError unless the person made it or is a moderator. Where nobody can tell who made it, that takes a
    moderator, but in a conversation of one person.
    """
    with suppress(Missing):
        try:
            await bot.subjects.find(request.space, name)
        except Damaged:
            subject = await bot.subjects.holder(name_key(request.space, name))
            owner = await _owner(bot, subject) or (request.user if is_direct(request.space) else "")
            left = Subject(id=subject, space=request.space, owner=owner, name=name, noun="", base_model="")
            policy.check(request.actor, "forget", left)
            return left.model_copy(update={"owner": "", "state": "failed"})
    return None


async def _owner(bot: CommandContext, subject: str) -> str:
    """The owner of a subject whose record is damaged, by what is left of it, else by its jobs; empty if unknown."""
    # The raw bytes first: a record that is no JSON any more often still has its owner in it.
    if owner := owner_of((await bot.store.get(subject_key(subject))).data):
        return owner
    for job in await bot.dispatch.index.about(subject):
        with suppress(Missing, Damaged):
            return (await bot.dispatch.job(job)).owner
    return ""

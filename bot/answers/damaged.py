"""Subjects whose records are damaged: nobody can see or draw them, but they can be forgotten, and free their names."""

import re
from contextlib import suppress

from bot.core import Bot
from bot.messages import Request
from bot.policy import is_direct
from storage.errors import Damaged, Missing, UserError
from storage.files import Store
from storage.subjects import Subject, name_key, subject_key

_OWNER = re.compile(rb'"owner"\s*:\s*"([^"\\]{1,200})"')
_SPACE = re.compile(rb'"space"\s*:\s*"([^"\\]{1,200})"')


async def remains(store: Store, subject: str) -> Subject | None:
    """What stands for a damaged subject, to be forgotten; None unless its space and owner can still be read."""
    data = (await store.get(subject_key(subject))).data
    space, owner = _SPACE.search(data), _OWNER.search(data)
    if not space or not owner:
        return None
    known = {"space": space[1].decode(errors="replace"), "owner": owner[1].decode(errors="replace")}
    return Subject(id=subject, name="", noun="", base_model="", state="failed", **known)


async def damaged_subject(bot: Bot, request: Request, name: str) -> Subject | None:
    """What stands for the subject of that name, to be forgotten; None unless its record is damaged.

    Raises UserError unless the person made it or is a moderator. Where nobody can tell who made it, that takes a
    moderator, but in a conversation of one person.
    """
    with suppress(Missing):
        try:
            await bot.subjects.find(request.space, name)
        except Damaged:
            subject = await bot.subjects.holder(name_key(request.space, name))
            theirs = {request.user, ""} if is_direct(request.space) else {request.user}
            if not request.moderator and await _owner(bot, subject) not in theirs:
                raise UserError("Only the person who made this, or a moderator, can forget it.") from None
            return Subject(id=subject, space=request.space, owner="", name=name, noun="", base_model="", state="failed")
    return None


async def _owner(bot: Bot, subject: str) -> str:
    """Who made a subject, by what is left of its record, else by its jobs; empty if nobody can tell any more."""
    if found := _OWNER.search((await bot.store.get(subject_key(subject))).data):
        return found[1].decode(errors="replace")
    for job in await bot.dispatch.index.about(subject):
        with suppress(Missing, Damaged):
            return (await bot.dispatch.job(job)).owner
    return ""

"""Who may see, draw and change what: subjects are private, or shared with a channel, a group or the whole space."""

from bot.core import Bot
from bot.messages import Request
from storage.errors import UserError
from storage.jobs import Job
from storage.subjects import Subject


def may_see(subject: Subject, request: Request) -> bool:
    """Whether the person may see and draw a subject of their space, there where they ask."""
    if request.user == subject.owner or request.moderator or subject.shared == "space":
        return True
    if subject.shared == "channel":
        return request.channel == subject.shared_with
    return subject.shared == "group" and subject.shared_with in request.groups


async def seen(bot: Bot, request: Request) -> list[Subject]:
    """The subjects of the space that the person may see, newest first."""
    return [subject for subject in await bot.subjects.in_space(request.space) if may_see(subject, request)]


def must_own(thing: Subject | Job, request: Request, deed: str) -> None:
    """Raise UserError unless the person made `thing` or is a moderator; `deed` says what they wanted."""
    if request.user != thing.owner and not request.moderator:
        raise UserError(f"Only the person who made this, or a moderator, can {deed} it.")


def audience(subject: Subject) -> str:
    """Say who may draw a subject besides its owner."""
    words = {
        "private": "nobody else",
        "channel": "everybody in this channel",
        "space": "everybody here",
        "group": "one group",
    }
    return words[subject.shared]

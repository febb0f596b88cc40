"""The access policy: may this actor do this to that? Every command, list and button of every front end asks it.

Subjects and jobs carry an audience: their owner alone, a channel, a group, or the whole space. Work on a subject is
seen by those who may see both. Moderators remove things; they see, draw and share no more than anybody else.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal

from storage.ask.documents import Document
from storage.contract.base import Record
from storage.contract.jobs import Audience, Job
from storage.contract.subjects import Subject
from storage.errors import UserError

Moderates = Literal["", "channel", "space"]
Deed = Literal["share", "change", "retrain", "forget", "stop", "delete"]
NOT_OWNER = "Only the person who made this can {deed} it."
NOT_MODERATOR = "Only the person who made this, or a moderator, can {deed} it."


class Actor(Record):
    """A person as the policy sees them: in which space and channels they ask, with which groups and rights."""

    space: str
    person: str
    channels: tuple[str, ...] = ()  # where they ask: the channel, and a thread of it
    groups: tuple[str, ...] = ()  # Discord roles or Slack user groups
    moderates: Moderates = ""
    own_spaces: tuple[str, ...] = ()  # other spaces of which they see what is their own


def check(actor: Actor, deed: Deed, thing: Subject | Job) -> None:
    """Raise UserError, with a sentence for the actor, unless they may do it to that."""
    may, refusal = RULES[deed]
    if not may(thing, actor):
        raise UserError(refusal.format(deed=deed))


def may_see(subject: Subject, actor: Actor) -> bool:
    """Whether a subject is in the actor's space and shared with them there, or is their own."""
    if owns(actor, subject.space, subject.owner):
        return True
    return subject.space == actor.space and _reaches(subject.shared, subject.shared_with, actor)


def visible_to(actor: Actor, subjects: Iterable[Subject]) -> list[Subject]:
    """Filter the subjects that the actor may see, in their order."""
    return [subject for subject in subjects if may_see(subject, actor)]


def may_draw(subject: Subject, actor: Actor) -> bool:
    """Whether the actor may draw a subject, and choose between its candidates: whoever sees it may."""
    return may_see(subject, actor)


def may_share(subject: Subject, actor: Actor) -> bool:
    """Whether the actor may share, change or retrain a subject: its owner alone."""
    return owns(actor, subject.space, subject.owner)


def may_forget(subject: Subject, actor: Actor) -> bool:
    """Whether the actor may forget a subject: its owner, a moderator of the space, one of the channel it is for."""
    if owns(actor, subject.space, subject.owner) or _moderates_space(subject.space, actor):
        return True
    in_channel = subject.shared == "channel" and subject.shared_with in actor.channels
    return subject.space == actor.space and actor.moderates == "channel" and in_channel


def may_see_job(job: Job, subjects: Sequence[Subject], actor: Actor) -> bool:
    """Whether the actor may see a job, its prompt and pictures; `subjects` are those of it that still exist.

    Jobs of before audiences were stored are shown to others only if all their subjects are.
    """
    if owns(actor, job.space, job.owner):
        return True
    # A forgotten subject may have been private, so what is left of its jobs is for their owners alone.
    if job.space != actor.space or len(subjects) < len(job.subjects):
        return False
    if not all(may_see(subject, actor) for subject in subjects):
        return False
    if job.shared is None:
        return bool(job.subjects)
    return _reaches(job.shared, job.shared_with, actor)


def may_cancel(job: Job, actor: Actor) -> bool:
    """Whether the actor may stop a job or delete its pictures: its owner, or a moderator of where it was asked for."""
    if owns(actor, job.space, job.owner) or _moderates_space(job.space, actor):
        return True
    return job.space == actor.space and actor.moderates == "channel" and job.said_in in actor.channels


def may_read(document: Document, actor: Actor) -> bool:
    """Whether the actor may see a document of a space in lists, and be answered from it."""
    if owns(actor, document.space, document.owner):
        return True
    return document.space == actor.space and _reaches(document.shared, document.shared_with, actor)


def may_quote(document: Document, actor: Actor, origin: Mapping[str, Any]) -> bool:
    """Whether an answer may quote a document: everybody who reads where it is asked may read that, too.

    `origin` has the fields of a job that say for whom it is.
    """
    if document.space != origin["space"] or not may_read(document, actor):
        return False
    if is_direct(document.space) or document.shared == "space":
        return True
    return document.shared == "channel" and _audience(document) == (origin["shared"], origin["shared_with"])


def may_remove(document: Document, actor: Actor) -> bool:
    """Whether the actor may remove a document: its owner, a moderator of the space."""
    return may_remove_of(document.space, document.owner, actor)


def may_remove_of(space: str, owner: str, actor: Actor) -> bool:
    """The same of a document of which its space and owner are known alone."""
    return owns(actor, space, owner) or _moderates_space(space, actor)


def is_as_public(job: Job, origin: Mapping[str, Any]) -> bool:
    """Whether everybody who reads where something is asked, which is its `origin`, may read a job as well."""
    if job.space != origin["space"] or job.shared is None:
        return False
    return job.shared == "space" or _audience(job) == (origin["shared"], origin["shared_with"])


def may_allow(author: str, actor: Actor) -> bool:
    """Whether the actor may let photos be used that `author` posted there: it is for the author, or a moderator."""
    return author == actor.person or bool(actor.moderates)


RULES: dict[Deed, tuple[Callable[..., bool], str]] = {  # who may, of thing and actor, and what the others are told
    "share": (may_share, NOT_OWNER),
    "change": (may_share, NOT_OWNER),
    "retrain": (may_share, NOT_OWNER),
    "forget": (may_forget, NOT_MODERATOR),
    "stop": (may_cancel, NOT_MODERATOR),
    "delete": (may_cancel, NOT_MODERATOR),
}


def owns(actor: Actor, space: str, owner: str) -> bool:
    """Whether something is the actor's own, of where they ask or of a space whose own things they see there."""
    return owner == actor.person and space in (actor.space, *actor.own_spaces)


def _moderates_space(space: str, actor: Actor) -> bool:
    return actor.moderates == "space" and space == actor.space


def _reaches(shared: Audience, shared_with: str, actor: Actor) -> bool:
    """Whether an audience within the actor's space includes them."""
    if shared == "channel":
        return shared_with in actor.channels
    return shared == "space" or (shared == "group" and shared_with in actor.groups)


def _audience(thing: Job | Document) -> tuple[str | None, str]:
    return thing.shared, thing.shared_with


def is_direct(space: str) -> bool:
    """Whether a space is one person's conversation with the bot: nobody else reads it.

    >>> [is_direct(space) for space in ("discord:dm:7", "slack:T1:D2", "local", "slack:T1:G2", "discord:7", "slack:T1")]
    [True, True, True, False, False, False]
    """
    platform, *rest = space.split(":")
    if platform == "slack":
        return len(rest) > 1 and rest[1].startswith("D")
    return not rest or (platform == "discord" and rest[0] == "dm")


def same_person(space: str, other: str) -> bool:
    """Whether one id of a person means the same in two spaces: on all of Discord, in all of a Slack workspace.

    >>> same_person("discord:7", "discord:dm:3"), same_person("slack:T1:D2", "slack:T1")
    (True, True)
    >>> same_person("slack:T2", "slack:T1")
    False
    """
    known_by = [each.split(":")[:2] if each.startswith("slack:") else each.split(":")[:1] for each in (space, other)]
    return known_by[0] == known_by[1]


def made_by(actor: Actor, space: str, owner: str) -> bool:
    """Whether the actor made something, wherever on the platform that was."""
    return owner == actor.person and same_person(space, actor.space)


def is_local(space: str) -> bool:
    """Whether a space is that of the web page and the terminal, and not of a platform."""
    return space.isalnum()

"""Notice who has left a platform's spaces, tell them if that is possible, and forget what is theirs after a grace."""

import asyncio
import logging
import time
from abc import ABC, abstractmethod
from collections import defaultdict

from bot.commands.erase_person import every_subject, forget_everything
from bot.core.context import CommandContext
from bot.core.job_owners import forget_owners, owners_of_jobs
from bot.delivery.retry import OUTAGES
from storage.ask.documents import Documents
from storage.contract.subjects import Subject
from storage.lifecycle import departures
from storage.objects.store import Store

log = logging.getLogger(__name__)

DAY_S = 24 * 3600
EVERY_S = 3600.0  # between two looks whether it is time
ALL_GONE = "I am not in that {where} any more, where I learned {names} for you."
ONE_GONE = "You have left the {where} where I learned {names} for you."
THEN = "All of it, photos and pictures too, is deleted in {days} days, unless {who} back by then."


class Members(ABC):
    """What a platform tells of who is where."""

    platform: str
    where: str  # what a space is called there

    @abstractmethod
    def spaces(self) -> list[str]:
        """The spaces that the bot is in."""

    @abstractmethod
    async def has_left(self, space: str, person: str) -> bool | None:
        """Whether a person has left a space, or the bot for no person; None where that cannot be told."""

    @abstractmethod
    async def tell(self, person: str, sentence: str) -> None:
        """Send a private message, if that is possible."""


class Departures:
    """Departures from the spaces of one platform."""

    def __init__(self, app: CommandContext, members: Members) -> None:
        self.app, self.members = app, members

    async def forever(self) -> None:
        """Look once a day; never raises, but for cancellation."""
        key = f"darkroom:departures:{self.members.platform}"
        while True:
            await asyncio.sleep(EVERY_S)
            try:
                if await self.app.redis.set(key, b"1", nx=True, ex=DAY_S):
                    await self.look()
            except OUTAGES as error:
                log.warning("who has left cannot be found out today: %s", error)
            except Exception:  # tomorrow's look is not to be lost as well
                log.exception("looking for who has left failed")

    async def look(self) -> None:
        """Check owners of subjects and jobs for departures and returns; erase those whose retention is over."""
        subjects_of, documents = await self._by_space(), await Documents(self.app.store).everywhere()
        for space in sorted({*subjects_of, *self.members.spaces()}):
            subjects = subjects_of[space]
            if await self.members.has_left(space, "") is None:  # nor does the platform tell who has
                continue
            if await self._gone(space, "", subjects):
                continue
            with_jobs = await owners_of_jobs(self.app.redis, self.app.dispatch.index, space)
            owners = {subject.owner for subject in subjects} | with_jobs
            owners |= {document.owner for document in documents if document.space == space}
            for person in sorted(owners):
                await self._gone(space, person, [s for s in subjects if s.owner == person])

    async def space_left(self, space: str) -> None:
        """Note that the bot is not in a space any more, or in those within it."""
        for space_subjects, subjects in (await self._by_space()).items():
            if space_subjects == space or space_subjects.startswith(f"{space}:"):
                await self._note(space_subjects, "", subjects)
        await departures.note(self.app.store, space)
        if not self.app.settings.forget_after_days:
            await forget_left_spaces(self.app.store, 0.0)

    async def space_joined(self, space: str) -> None:
        """Note that the bot is in a space (again), and in those within it."""
        for departure in await departures.every(self.app.store):
            if not departure.person and (departure.space == space or departure.space.startswith(f"{space}:")):
                await departures.withdraw(self.app.store, departure.space)

    async def still_here(self) -> None:
        """Withdraw what was noted of spaces that the bot is in: it may have been invited again while it was down."""
        for departure in await departures.every(self.app.store):
            if not departure.person and await self.members.has_left(departure.space, "") is False:
                await departures.withdraw(self.app.store, departure.space)

    async def _by_space(self) -> dict[str, list[Subject]]:
        """The subjects of each space of the platform in which there is anything: a direct message may have none."""
        by_space: dict[str, list[Subject]] = defaultdict(list)
        async for subject in every_subject(self.app.store):
            by_space[subject.space].append(subject)
        async for space in self.app.dispatch.index.spaces():
            by_space[space] += []
        for document in await Documents(self.app.store).everywhere():
            by_space[document.space] += []
        ours = f"{self.members.platform}:"
        return defaultdict(list, {space: found for space, found in by_space.items() if space.startswith(ours)})

    async def _gone(self, space: str, person: str, subjects: list[Subject]) -> bool:
        """Whether somebody has left: note it, or forget what is theirs if that was long ago."""
        left = await self.members.has_left(space, person)
        if left is False:
            await departures.withdraw(self.app.store, space, person)
        if not left:
            return False
        await self._note(space, person, subjects)
        since_s = await departures.since(self.app.store, space, person)
        if since_s is not None and time.time() - since_s >= self.app.settings.forget_after_days * DAY_S:
            await forget_everything(self.app.store, space, person)
            await forget_owners(self.app.redis, [space])
            await departures.withdraw(self.app.store, space, person)
        return True

    async def _note(self, space: str, person: str, subjects: list[Subject]) -> None:
        """Note a departure, and tell the owners of what will go."""
        if not await departures.note(self.app.store, space, person):
            return
        for owner in sorted({subject.owner for subject in subjects}):  # who has pictures alone is not written to
            names = ", ".join(subject.name for subject in subjects if subject.owner == owner)
            what = (ONE_GONE if person else ALL_GONE).format(where=self.members.where, names=names)
            then = THEN.format(days=self.app.settings.forget_after_days, who="you are" if person else "I am")
            await self.members.tell(owner, f"{what} {then}")


async def forget_left_spaces(store: Store, grace_s: float) -> None:
    """Forget the spaces that the bot left longer ago than the grace; no bot may serve that platform any more."""
    for departure in await departures.every(store):
        if not departure.person and time.time() - departure.since_s >= grace_s:
            await forget_everything(store, departure.space, "")
            await departures.withdraw(store, departure.space)

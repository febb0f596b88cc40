"""Sweeps what crashes have left: objects whose record is gone or names others, and names that nobody has."""

import logging
import time
from collections import defaultdict

from storage.errors import Damaged, Missing
from storage.files import Store
from storage.ids import is_id, made_s
from storage.jobs import job_key, outcome_key, read_job
from storage.settling import settle, unsettled_key
from storage.subjects import NAMES, Subjects, subject_key, unaccepted_key

log = logging.getLogger(__name__)

ORPHANED_S = 3600  # from an id's making; an import writes the record last, and clocks differ
LOOKS = 100  # jobs that have ended and are looked at in one sweep: the first of a process would else read them all
OF_TRAININGS = ("checkpoints", "weights", "samples")  # what lies below a subject by the trainings that made it


class Sweeper:
    """Sweeps again and again; remembers which jobs it has looked at, and looks again where their files have changed."""

    def __init__(self, store: Store, older_s: float = ORPHANED_S) -> None:
        """What was made in the last `older_s` is left alone: whoever makes it may not be done."""
        self.store, self.older_s = store, older_s
        self._looked: dict[str, int] = {}  # by job: hash of the names of its files

    async def sweep(self) -> list[str]:
        """Delete what lies below a job or subject whose record is gone, and names that nobody has; return what went.

        Records are written first and deleted first, so nothing else is there without one; but an upload that hung in a
        process that was cut off may come back after all that. So it may to a job that has ended: that is settled anew.
        """
        jobs, subjects = await self.store.names("jobs/"), await self.store.names("subjects/")
        swept = await self._sweep_below("jobs", "job.json", jobs) + await self._sweep_unaccepted(subjects)
        swept += await self._sweep_below("subjects", "subject.json", subjects)
        swept += await self._sweep_names(sum(name.endswith("/subject.json") for name in subjects))
        swept += await self._settle_again(set(jobs), subjects)
        if swept:
            log.warning("%d objects of jobs or subjects that are gone were left, and are deleted", len(swept))
        return swept

    async def _sweep_below(self, kind: str, record: str, names: list[str]) -> list[str]:
        swept: list[str] = []
        known = {name.split("/")[1] for name in names if name.endswith(f"/{record}")}
        for found in sorted({name.split("/")[1] for name in names} - known):
            if self._is_old(found):
                swept += await self.store.delete_prefix(f"{kind}/{found}/")
        return swept

    async def _sweep_unaccepted(self, names: list[str]) -> list[str]:
        """Forget new subjects whose training was never accepted: the bot died, or the store failed, in between."""
        swept: list[str] = []
        for name in names:
            subject = name.split("/")[1]
            if name == unaccepted_key(subject) and self._is_old(subject):
                try:
                    job = (await self.store.get(name)).data.decode()
                    if not await self.store.exists(job_key(job)):
                        swept += await Subjects(self.store).forget(await Subjects(self.store).get(subject))
                except Missing:  # accepted or forgotten just now
                    continue
                except (Damaged, ValueError) as error:
                    log.error("the subject of %s cannot be swept: %s", name, error)
                    continue
                await self.store.delete(name)
        return swept

    async def _sweep_names(self, subjects: int) -> list[str]:
        """Free names that are held by subjects that are gone: a process died between the record and its name."""
        names = await self.store.names(NAMES, filled=True)
        if len(names) <= subjects:  # each subject has one: to read them all would take long
            return []
        swept = []
        for name in names:
            try:
                data, tag = await self.store.get(name)
            except Missing:  # freed just now
                continue
            holder = data.decode(errors="replace")
            gone = self._is_old(holder) and not await self.store.exists(subject_key(holder))
            if gone and await self.store.vacate(name, tag):
                swept.append(name)
        return swept

    async def _settle_again(self, jobs: set[str], subjects: list[str]) -> list[str]:
        """Settle jobs that have ended whose files are not those that were there when they were last looked at."""
        made = _made_by_jobs(jobs, subjects)
        files = {job: sorted(made[job]) for job in made if self._has_ended(job, jobs)}
        self._looked = {job: looked for job, looked in self._looked.items() if job in files}
        changed = [job for job in sorted(files, reverse=True) if self._looked.get(job) != hash(tuple(files[job]))]
        swept: list[str] = []
        for job in changed[:LOOKS]:
            try:
                await settle(self.store, read_job((await self.store.get(job_key(job))).data))
            except Missing:  # deleted just now
                continue
            except Damaged as error:
                log.error("what is left of job %s cannot be swept: %s", job, error)
            left = [name for name in files[job] if await self.store.exists(name)]
            swept += [name for name in files[job] if name not in left]
            self._looked[job] = hash(tuple(left))
        return swept

    def _has_ended(self, job: str, names: set[str]) -> bool:
        """Whether a job is over and done with; what is not settled yet is settled elsewhere."""
        written = {job_key(job), outcome_key(job)} <= names and unsettled_key(job) not in names
        return written and self._is_old(job)

    def _is_old(self, found: str) -> bool:
        return is_id(found) and time.time() - made_s(found) > self.older_s


def _made_by_jobs(jobs: set[str], subjects: list[str]) -> dict[str, list[str]]:
    """Names of the files that attempts have made, by job; those of jobs which have any."""
    made: dict[str, list[str]] = defaultdict(list)
    for name in jobs:
        if name.count("/") > 2:
            made[name.split("/")[1]].append(name)
    for name in subjects:
        _, _, kind, job, *rest = [*name.split("/"), ""]
        if kind in OF_TRAININGS and rest:
            made[job].append(name)
    return made

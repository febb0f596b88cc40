"""Indexes of jobs: those that are open, those of a space by time, those about a subject. Listing replaces reading all.

| name | one for each |
|---|---|
| `open/<space>/<job>` | job that has not ended, or whose end is not settled yet |
| `jobs-of/<space>/<inverted id>` | job of a space; inverted ids sort the newest first |
| `jobs-about/<subject>/<job>` | job that learns or draws a subject |
| `jobs-under/<key>/<inverted id>` | of `Job.index_keys`: a question of a person, or of a thread |

Entries are empty objects. They are written before the job and deleted after it, so a crash leaves an entry too many at
most, never a job without one: whoever reads an index reads the job as well. `docs/design.md` goes through it.
"""

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import suppress

from storage.contract.jobs import Job, job_key
from storage.contract.outcomes import outcome_key
from storage.errors import Damaged, Missing
from storage.ids import ID, is_id, made_s
from storage.kinds.stored import stored_job
from storage.objects.store import PAGE, Store

OPEN = "open/"
PREFIXES = ("jobs-about/", "jobs-of/", "jobs-under/", OPEN)
STATE = "indexes/jobs.json"  # how far old jobs are in the indexes; see `storage/lifecycle/index_backfill.py`
VERSION = 2  # of what is indexed: 2 added what is under a key, and which job a message is about
COMPLETE = b'{"version": 2, "complete": true}'
STALE_S = 3600.0  # an entry of that age without a job is one too many: nobody is about to write the job
READERS = 16  # jobs read at once: a store far away takes a while for each
BUCKET = 5  # digits of an inverted id that make a folder: three days
_FLIPPED = str.maketrans("0123456789abcdef", "fedcba9876543210")


def hashed(space: str) -> str:
    """A space as it is written in object names: people typed some of them."""
    return hashlib.sha256(space.encode()).hexdigest()[:20]


def open_key(space: str, job: str) -> str:
    """Name of the entry of an open job."""
    return f"{OPEN}{hashed(space)}/{job}"


def space_key(space: str, job: str) -> str:
    """Name of the entry of a job of a space; of the beginning of an id, the prefix of those that begin so."""
    return _space_key(hashed(space), job)


def about_prefix(subject: str) -> str:
    """Prefix of the entries of jobs about a subject."""
    return f"jobs-about/{subject}/"


def under_key(space: str, key: str, job: str = "") -> str:
    """Name of the entry of a job of a space under one of its `index_keys`; without a job, the prefix of all."""
    return _by_time(f"jobs-under/{hashed(f'{space} {key}')}", job)


def entries_of(job: Job) -> list[str]:
    """Names of the entries of a job; the one that says it is open comes last."""
    under = [under_key(job.space, key, job.id) for key in job.index_keys]
    return [*under, *_entries(job.id, hashed(job.space), job.subjects)]


def job_of(entry: str) -> str:
    """The id of the job that an entry is of."""
    kind, _, rest = entry.split("/", 2)
    return rest.replace("/", "").translate(_FLIPPED) if kind in ("jobs-of", "jobs-under") else rest


def is_old(job: str) -> bool:
    """Whether an entry of a job that is not there is one too many: nobody is about to write the job."""
    return not is_id(job) or time.time() - made_s(job) > STALE_S


def _space_key(hashed_space: str, job: str) -> str:
    return _by_time(f"jobs-of/{hashed_space}", job)


def _by_time(folder: str, job: str) -> str:
    """Name of an entry that sorts the newest first."""
    flipped = job.translate(_FLIPPED)
    bucket = f"{flipped[:BUCKET]}/" if len(flipped) >= BUCKET else flipped
    return f"{folder}/{bucket}{flipped[BUCKET:]}"


def _entries(job: str, hashed_space: str, subjects: Iterable[str]) -> list[str]:
    """Names of the entries of a job; the one that says it is open comes last."""
    about = [f"{about_prefix(subject)}{job}" for subject in subjects]
    return [_space_key(hashed_space, job), *about, f"{OPEN}{hashed_space}/{job}"]


class JobIndex:
    """The indexes in a store. Until old jobs are in them, all jobs are read instead."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._complete = False

    async def complete(self) -> bool:
        """Whether all jobs are in the indexes."""
        if not self._complete:
            with suppress(Missing):
                self._complete = (await self.store.get(STATE)).data == COMPLETE
        return self._complete

    async def add(self, job: Job, is_open: bool = True) -> None:
        """Write the entries of a job, before the job itself."""
        keys = entries_of(job)
        await asyncio.gather(*(self.store.put(key, b"") for key in (keys if is_open else keys[:-1])))

    async def close(self, job: Job) -> None:
        """Delete the entry that says a job is open, once its end is settled."""
        await self.store.delete(open_key(job.space, job.id))

    async def close_damaged(self, job: str, hashed_space: str) -> None:
        """Close the index entries of a job whose record is damaged, by the space that its entry is of."""
        if hashed_space:
            await self.store.delete(f"{OPEN}{hashed_space}/{job}")

    async def remove(self, job: str, space: str, subjects: Iterable[str]) -> None:
        """Delete the entries of a job that is deleted, as far as they are known without its record."""
        await self._delete(_entries(job, hashed(space), subjects))

    async def remove_job(self, job: Job) -> None:
        """Delete the entries of a job that is deleted."""
        await self._delete(entries_of(job))

    async def _delete(self, keys: Iterable[str]) -> None:
        for key in keys:
            await self.store.delete(key)

    async def open_jobs(self, space: str | None = None) -> dict[str, str]:
        """Ids of the jobs that are open or not settled, oldest first, each with its hashed space.

        As long as old jobs are not indexed, those of other spaces may be among them, and some have no space.
        """
        names = await self.store.names(OPEN if space is None else open_key(space, ""))
        spaces = {job: hashed_space for _, hashed_space, job in (name.split("/") for name in names)}
        if not await self.complete():
            names = await self.store.names("jobs/")
            done = {name.split("/")[1] for name in names if name.endswith("/outcome.json")}
            done -= {name.split("/")[1] for name in names if name.endswith("/unsettled")}  # an older version's mark
            spaces = {job: "" for job in _accepted(names) if job not in done} | spaces
        return dict(sorted(spaces.items()))

    async def of_space(
        self, space: str, *, beginning: str = "", before: str = "", page: int = PAGE
    ) -> AsyncIterator[list[str]]:
        """Ids of the jobs of a space, newest first, in pages: those that begin so, or are older than `before`.

        Those of other spaces are among them as long as old jobs are not indexed.
        """
        if not is_id(f"{beginning:0<20}") or not is_id(f"{before:0<20}"):
            return
        if await self.complete():
            after = space_key(space, before) if before else ""
            async for names in self.store.pages(space_key(space, beginning), after=after, page=page):
                yield [job_of(name) for name in names]
            return
        jobs = _accepted(await self.store.names(f"jobs/{beginning}"))
        jobs = [job for job in reversed(jobs) if not before or job < before]
        for start in range(0, len(jobs), page):
            yield jobs[start : start + page]

    async def under(self, space: str, key: str, most: int) -> list[Job]:
        """The newest jobs of a space that are indexed under a key, newest first, without those that are deleted."""
        names = await self.store.names(under_key(space, key), most=most)
        jobs = await asyncio.gather(*(self.job(job_of(name)) for name in names))
        return [job for job in jobs if job and job.space == space and key in job.index_keys]

    async def spaces(self) -> AsyncIterator[str]:
        """The spaces that have jobs, by the newest one of each that can be read: two requests a space."""
        after = ""
        while names := await self.store.names("jobs-of/", after=after, most=1):
            folder = "/".join(names[0].split("/")[:2])
            entries = await self.store.names(f"{folder}/", most=READERS)
            jobs = (await self.job(job_of(entry)) for entry in entries)
            async for job in jobs:
                if job and job.space:
                    yield job.space
                    break
            after = f"{folder}0"  # the character after the slash: past the whole folder

    async def about(self, subject: str) -> list[str]:
        """Ids of the jobs about a subject, oldest first."""
        prefix = about_prefix(subject)
        ids = {name.removeprefix(prefix) for name in await self.store.names(prefix)}
        if not await self.complete():
            jobs = _accepted(await self.store.names("jobs/"))
            for start in range(0, len(jobs), READERS):
                some = await asyncio.gather(*map(self.job, jobs[start : start + READERS]))
                ids |= {job.id for job in some if job and subject in job.subjects}
        return sorted(ids)

    async def job(self, job: str) -> Job | None:
        """Read a job; None if it is deleted or damaged."""
        with suppress(Missing, Damaged):
            return await stored_job(self.store, job)
        return None

    async def drop_stale(self, job: str, hashed_space: str) -> None:
        """Delete the entries of a job that is not there, if they are old; if it comes meanwhile, write them again."""
        if not hashed_space or not is_old(job):
            return
        if await self.store.exists(job_key(job)):  # it is damaged
            return
        await self._delete(_entries(job, hashed_space, ()))
        if record := await self.job(job):
            await self.add(record, is_open=not await self.store.exists(outcome_key(job)))


def _accepted(names: Iterable[str]) -> list[str]:
    jobs = (name.split("/")[1] for name in names if name.endswith("/job.json"))
    return [job for job in jobs if ID.fullmatch(job)]

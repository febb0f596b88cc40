"""Puts jobs that were accepted before there were indexes into them: once, in pages, from where it was left.

`indexes/jobs.json` says how far that is. Jobs that come meanwhile are indexed as they are accepted.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator

from storage.contract.base import Record
from storage.contract.jobs import Job
from storage.contract.outcomes import outcome_key
from storage.contract.records import parsed
from storage.errors import Missing, StoreError
from storage.lifecycle.job_index import (
    COMPLETE,
    PREFIXES,
    READERS,
    STATE,
    VERSION,
    JobIndex,
    entries_of,
    is_old,
    job_of,
)
from storage.lifecycle.posted_index import NOTE, index_note
from storage.objects.store import Store

log = logging.getLogger(__name__)


class BuildState(Record):
    """How far old jobs are indexed; what an older version has indexed is indexed anew."""

    version: int = VERSION
    complete: bool = False
    after: str = ""  # name of an object: all before it are indexed


async def build_indexes(store: Store, within_s: float) -> bool:
    """Index old jobs for so long; tell whether all are. Raises StoreError."""
    index, until_s = JobIndex(store), time.monotonic() + within_s
    if await index.complete():
        return True
    state = await _state(store)
    async for names in store.pages("jobs/", after=state.after):
        await _add(index, names)
        state = state.model_copy(update={"after": names[-1]})
        # After each page: a bot that ends goes on from here, and indexing twice does no harm.
        await store.put(STATE, state.model_dump_json().encode())
        if time.monotonic() > until_s:
            log.info("indexing jobs that were there before: as far as %s", state.after)
            return False
    await store.put(STATE, COMPLETE)
    return True


async def index_faults(store: Store) -> AsyncIterator[tuple[str, Job | None, bool]]:
    """Entries that are missing, with their job and whether it is open, and entries too many, without one.

    None while old jobs are not indexed: that is no fault.
    """
    index = JobIndex(store)
    if not await index.complete():
        return
    there = {name for prefix in PREFIXES for name in await store.names(prefix)}
    names = set(await store.names("jobs/"))
    for job_id in sorted({name.split("/")[1] for name in names if name.endswith("/job.json")}):
        if not (job := await index.job(job_id)):  # damaged, which is another check's
            there = {name for name in there if job_of(name) != job_id}
            continue
        is_open = outcome_key(job_id) not in names
        # The last of them is the open one, which a job that has ended does not have.
        entries = entries_of(job)
        if missing := [key for key in (entries if is_open else entries[:-1]) if key not in there]:
            yield missing[0], job, is_open
        there -= {*entries}
    for key in sorted(there):
        # A young entry may be one whose job is just being written: entries come first.
        if is_old(job_of(key)):
            yield key, None, False


async def _add(index: JobIndex, names: list[str]) -> None:
    """Index the jobs of a page of names; one whose end is on the next page counts as open, which is looked into."""
    there = set(names)
    jobs = [name.split("/")[1] for name in names if name.endswith("/job.json")]
    for start in range(0, len(jobs), READERS):
        await asyncio.gather(*(_add_one(index, job, there) for job in jobs[start : start + READERS]))
    notes = [name for name in names if NOTE in name]
    for start in range(0, len(notes), READERS):
        await asyncio.gather(*(index_note(index.store, note) for note in notes[start : start + READERS]))


async def _add_one(index: JobIndex, job: str, there: set[str]) -> None:
    is_open = f"jobs/{job}/outcome.json" not in there or f"jobs/{job}/unsettled" in there
    if record := await index.job(job):
        await index.add(record, is_open=is_open)


async def _state(store: Store) -> BuildState:
    try:
        state = parsed(BuildState, (await store.get(STATE)).data, STATE)
        return state if state.version == VERSION else BuildState()
    except Missing:
        return BuildState()
    except StoreError as error:
        log.warning("indexing jobs from the beginning: %s", error)
        return BuildState()

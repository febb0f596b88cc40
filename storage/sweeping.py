"""Sweeps what crashes have left: objects whose record is gone, names that nobody has."""

import logging
import time

from storage.errors import Damaged, Missing
from storage.files import Store
from storage.ids import is_id, made_s
from storage.jobs import job_key
from storage.subjects import NAMES, Subjects, subject_key, unaccepted_key

log = logging.getLogger(__name__)

ORPHANED_S = 3600  # from an id's making; an import writes the record last, and clocks differ


async def sweep(store: Store, older_s: float = ORPHANED_S) -> list[str]:
    """Delete what lies below a job or subject whose own record is gone, and names that nobody has; return what went.

    Records are written first and deleted first, so nothing else is there without one; but an upload that hung in a
    process that was cut off may come back after all that. Those of `older_s` or less are left alone.
    """
    swept: list[str] = []
    known: set[str] = set()
    for kind, record in (("jobs/", "job.json"), ("subjects/", "subject.json")):
        names = await store.names(kind)
        known = {name.split("/")[1] for name in names if name.endswith(f"/{record}")}
        for found in sorted({name.split("/")[1] for name in names} - known):
            if _is_old(found, older_s):
                swept += await store.delete_prefix(f"{kind}{found}/")
        swept += await _sweep_unaccepted(store, names, older_s)
    swept += await _sweep_names(store, len(known), older_s)
    if swept:
        log.warning("%d objects of jobs or subjects that are gone were left, and are deleted", len(swept))
    return swept


async def _sweep_unaccepted(store: Store, names: list[str], older_s: float) -> list[str]:
    """Forget new subjects whose training was never accepted: the bot died, or the store failed, in between."""
    swept: list[str] = []
    for name in names:
        subject = name.split("/")[1]
        if name == unaccepted_key(subject) and _is_old(subject, older_s):
            try:
                job = (await store.get(name)).data.decode()
                if not await store.exists(job_key(job)):
                    swept += await Subjects(store).forget(await Subjects(store).get(subject))
            except Missing:  # accepted or forgotten just now
                continue
            except (Damaged, ValueError) as error:
                log.error("the subject of %s cannot be swept: %s", name, error)
                continue
            await store.delete(name)
    return swept


async def _sweep_names(store: Store, subjects: int, older_s: float) -> list[str]:
    """Free names that are held by subjects that are gone: a process died between the record and its name."""
    names = await store.names(NAMES, filled=True)
    if len(names) <= subjects:  # each subject has one: to read them all would take long
        return []
    swept = []
    for name in names:
        try:
            data, tag = await store.get(name)
        except Missing:  # freed just now
            continue
        holder = data.decode(errors="replace")
        if _is_old(holder, older_s) and not await store.exists(subject_key(holder)) and await store.vacate(name, tag):
            swept.append(name)
    return swept


def _is_old(found: str, older_s: float) -> bool:
    return is_id(found) and time.time() - made_s(found) > older_s

"""Keeps the index of messages about jobs: `posted-as/<message>/<job>` for each note of where a job's message is.

`storage/contract/posted_messages.py` writes both. Notes of older versions are indexed by the backfill, and `darkroom
repair` compares the two.
"""

import logging
from collections.abc import AsyncIterator

from storage.contract.posted_messages import POSTED_AS, Posted, home_of, index_entry
from storage.contract.records import parsed_in_part
from storage.errors import Damaged, Missing, Newer
from storage.objects.store import Store

log = logging.getLogger(__name__)

NOTE = "/posted-"  # in the name of a note


async def entry_of(store: Store, note: str) -> str:
    """The name of the entry that a note has, by the note's name; empty if it has none, or cannot be read."""
    try:
        posted = parsed_in_part(Posted, (await store.get(note)).data, note)
    except Missing:
        return ""
    except (Damaged, Newer) as error:
        log.warning("a note on a message is not indexed: %s", error)
        return ""
    return index_entry(home_of(note), posted)


async def index_note(store: Store, note: str) -> None:
    """Write the entry of a note, if it has one; if the note goes meanwhile, the entry goes, too."""
    if entry := await entry_of(store, note):
        await store.put(entry, b"")
        if not await store.exists(note):
            await store.delete(entry)


async def posted_faults(store: Store) -> AsyncIterator[tuple[str, str]]:
    """Entries that are missing, each with its note, and entries without a note, with an empty one."""
    there = set(await store.names(POSTED_AS))
    for name in await store.names("jobs/"):
        if NOTE not in name or not (entry := await entry_of(store, name)):
            continue
        if entry not in there:
            yield entry, name
        there.discard(entry)
    for entry in sorted(there):
        yield entry, ""

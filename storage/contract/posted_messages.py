"""Where bots' messages and uploads about a job or subject are, so that they can be taken back when it is deleted.

`<home>/posted-<hash>` lies beside the job or subject, whose home is `jobs/<id>` or `subjects/<id>`. When that goes, its
notes become `retracting/<platform>/<hash>`, until the platform's bot has removed what was shown. As long as there is a
note on a job's message, the message leads to the job by an empty object, `posted-as/<hash of the message>/<job>`.
"""

import hashlib
import logging
import time
from contextlib import suppress

from pydantic import Field

from storage.contract.base import Stored
from storage.contract.records import parsed_in_part
from storage.errors import Damaged, Full, Missing, Newer
from storage.ids import ordered_s
from storage.objects.store import Store

log = logging.getLogger(__name__)

RETRACTING = "retracting/"
POSTED_AS = "posted-as/"
RETRACTING_MAX_S = 90 * 24 * 3600.0  # what no bot has taken back by then is left: none serves that platform any more
RECORDS = {"jobs": "job.json", "subjects": "subject.json"}


class Posted(Stored):
    """A message of a bot, or a file that it uploaded by itself."""

    platform: str
    channel: str = ""
    message: str = ""
    file: str = ""
    deleted_s: float = Field(0.0, ge=0)  # when what it is about was deleted; 0: it is not, or it is not known


def home_of(key: str) -> str:
    """The job or subject that an object belongs to: `jobs/<id>` or `subjects/<id>`; empty for any other object."""
    kind, _, rest = key.partition("/")
    return f"{kind}/{rest.partition('/')[0]}" if kind in RECORDS else ""


def record_key(home: str) -> str:
    """Name of the record of a job or subject, by its home."""
    return f"{home}/{RECORDS[home.partition('/')[0]]}"


async def note(store: Store, home: str, posted: Posted) -> None:
    """Note what was posted about a job or subject; if that is deleted by now, it is to be taken back at once."""
    if not home:
        return
    data = posted.model_dump_json().encode()
    await store.put(f"{home}/posted-{hashlib.sha256(data).hexdigest()[:40]}", data)
    if entry := index_entry(home, posted):  # after the note, by which the entry is found when it is to go
        await store.put(entry, b"")
    if not await store.exists(record_key(home)):
        await set_aside(store, home)
        await _drop_entry(store, home, posted)  # which may have come after the note was set aside


async def jobs_posted_as(store: Store, platform: str, message: str, most: int) -> list[str]:
    """Ids of the jobs that a platform's message is about, oldest first."""
    prefix = _index_prefix(platform, message)
    return [name.removeprefix(prefix) for name in await store.names(prefix, most=most)]


def _index_prefix(platform: str, message: str) -> str:
    return f"{POSTED_AS}{hashlib.sha256(f'{platform} {message}'.encode()).hexdigest()[:40]}/"


def index_entry(home: str, posted: Posted) -> str:
    """Name of the entry that leads from a message to its job; empty for an upload, or if it is about a subject."""
    if not home.startswith("jobs/") or not posted.message:
        return ""
    return f"{_index_prefix(posted.platform, posted.message)}{home.removeprefix('jobs/')}"


async def _drop_entry(store: Store, home: str, posted: Posted) -> None:
    if entry := index_entry(home, posted):
        await store.delete(entry)


async def delete_home(store: Store, home: str) -> list[str]:
    """Delete all objects of a job or subject whose record is gone, and return their names; its messages are set aside.

    On a full disk these wait until the rest has made room.
    """
    removed = list[str]()
    try:
        await set_aside(store, home)
    except Full:
        for name in await store.names(f"{home}/"):
            if not name.startswith(f"{home}/posted-"):
                await store.delete(name)
                removed.append(name)
        await set_aside(store, home, makes_room=True)
    return [*removed, *await store.delete_prefix(f"{home}/")]


async def set_aside(store: Store, home: str, makes_room: bool = False) -> None:
    """Move the records of messages about a deleted job or subject to the list of messages that bots remove.

    Raises Full, unless it `makes_room` by deleting each record before it is written elsewhere: then one for which there
    is no room all the same is lost, and its message stays.
    """
    for name in await store.names(f"{home}/posted-"):
        try:
            data = (await store.get(name)).data
            posted = parsed_in_part(Posted, data, name)
        except Missing:
            continue
        except (Damaged, Newer) as error:  # where it was nobody can tell any more
            log.warning("a message of a bot stays: %s", error)
        else:
            await _drop_entry(store, home, posted)
            posted = posted.model_copy(update={"deleted_s": ordered_s()})
            key = f"{RETRACTING}{posted.platform}/{name.rpartition('-')[2]}"
            if makes_room:
                await store.delete(name)
            try:
                await store.put(key, posted.model_dump_json().encode())
            except Full:
                if not makes_room:
                    raise
                log.warning("a message of a bot stays: the store is full")
        await store.delete(name)


async def sweep(store: Store) -> None:
    """Delete the notes on what nobody has taken back for months; those without a time get one."""
    for name in await store.names(RETRACTING):
        with suppress(Missing, Damaged, Newer):  # the platform's bot sees to damaged ones
            data, tag = await store.get(name)
            posted = parsed_in_part(Posted, data, name)
            if not posted.deleted_s:
                posted = posted.model_copy(update={"deleted_s": time.time()})
                await store.replace(name, posted.model_dump_json().encode(), tag)
            elif time.time() - posted.deleted_s > RETRACTING_MAX_S:
                await store.delete(name)

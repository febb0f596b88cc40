"""Departures: people who left a space, spaces that removed the bot. Their data is deleted unless they return.

`departures/<hash>.json` notes since when. It is written once, and deleted by a return or with all the rest.
"""

import hashlib
import logging
import time

from pydantic import Field

from storage.contract.base import Stored
from storage.contract.records import parsed_in_part
from storage.errors import Damaged, Missing, Newer
from storage.objects.store import Store

log = logging.getLogger(__name__)

DEPARTURES = "departures/"


class Departure(Stored):
    """A person that has left a space; without a person, the bot has."""

    space: str
    person: str = ""
    since_s: float = Field(default_factory=time.time)


def _key(space: str, person: str) -> str:
    digest = hashlib.sha256("\n".join((space, person)).encode()).hexdigest()
    return f"{DEPARTURES}{digest[:40]}.json"


async def note(store: Store, space: str, person: str = "") -> bool:
    """Note that somebody has left; tell whether that is new."""
    return await store.put_new(_key(space, person), Departure(space=space, person=person).model_dump_json().encode())


async def since(store: Store, space: str, person: str = "") -> float | None:
    """The time since which somebody is known to have left; None if they have not.

    None as well where the record is damaged, which is deleted: who has left is noted anew, and the grace begins again.
    """
    key = _key(space, person)
    try:
        # Not later than now, which a clock that was ahead would have noted: the grace would not end for years.
        noted = parsed_in_part(Departure, (await store.get(key)).data, key)
        if noted.since_s > time.time():
            noted = noted.model_copy(update={"since_s": time.time()})
            await store.put(key, noted.model_dump_json().encode())
        return noted.since_s
    except (Missing, Newer):
        return None
    except Damaged as error:
        log.error("since when somebody is gone is noted anew: %s", error)
        await store.delete(key)
        return None


async def withdraw(store: Store, space: str, person: str = "") -> None:
    """Forget that somebody has left: they are back, or all that was theirs is deleted."""
    await store.delete(_key(space, person))


async def every(store: Store) -> list[Departure]:
    """All departures that are noted; damaged records are left out and logged."""
    departures = []
    for name in await store.names(DEPARTURES):
        try:
            departures.append(parsed_in_part(Departure, (await store.get(name)).data, name))
        except Missing:  # withdrawn just now
            continue
        except (Damaged, Newer) as error:
            log.error("a departure is left out: %s", error)
    return departures

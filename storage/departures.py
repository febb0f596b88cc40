"""Who has left: a person a space, or the bot a whole space. What they made is deleted later, unless they return.

`departures/<hash>.json` notes since when. It is written once, and deleted by a return or with all the rest.
"""

import hashlib
import time
from contextlib import suppress

from pydantic import Field

from storage.errors import Missing
from storage.files import Store
from storage.jobs import Stored
from storage.records import parsed

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
    """The time since which somebody is known to have left; None if they have not."""
    with suppress(Missing):
        key = _key(space, person)
        return parsed(Departure, (await store.get(key)).data, key).since_s
    return None


async def withdraw(store: Store, space: str, person: str = "") -> None:
    """Forget that somebody has left: they are back, or all that was theirs is deleted."""
    await store.delete(_key(space, person))


async def every(store: Store) -> list[Departure]:
    """All that is noted."""
    found = []
    for name in await store.names(DEPARTURES):
        with suppress(Missing):
            found.append(parsed(Departure, (await store.get(name)).data, name))
    return found

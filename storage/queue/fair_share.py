"""Fair share scheduling (round robin): spaces take turns, and in each space its people.

Until somebody who waits gets a turn, everybody else in the space gets one at most, and every other space one at most
for each that this space gets. Nobody who comes later goes first, so nobody starves.
"""

from collections.abc import Iterable, Mapping
from itertools import zip_longest
from typing import NamedTuple

Name = tuple[str, ...]  # of who takes turns: a space, or a space and one of its people


class Entry(NamedTuple):
    """An open job: since when it waits by Redis's clock, in µs, 0 once it has begun; its space and its owner."""

    since_us: int
    space: str
    owner: str

    @property
    def names(self) -> tuple[Name, Name]:
        """The space and the person that take turns."""
        return (self.space,), (self.space, self.owner)


def fair_order(waiting: Mapping[str, Entry], last_us: Mapping[Name, float]) -> list[str]:
    """Ids of `waiting` in the order in which they are served; `last_us` is when each space and person was served last.

    A job that has begun before goes first: it had its turn.
    """
    by_arrival = sorted(waiting, key=lambda job: (waiting[job].since_us, job))
    begun = [job for job in by_arrival if not waiting[job].since_us]

    def shared(jobs: Iterable[str], level: int) -> list[list[str]]:
        """Part jobs by who asked; first comes whoever waits, or was served last, since longest ago."""
        parts: dict[Name, list[str]] = {}
        for job in jobs:
            parts.setdefault(waiting[job].names[level], []).append(job)
        since_us = {name: max(last_us.get(name, 0), waiting[part[0]].since_us) for name, part in parts.items()}
        return [parts[name] for name in sorted(parts, key=since_us.__getitem__)]

    of_spaces = shared(by_arrival[len(begun) :], 0)
    return begun + _rounds([_rounds(shared(jobs, 1)) for jobs in of_spaces])


def _rounds(parts: list[list[str]]) -> list[str]:
    """The first of each part, then the second of each, and so on."""
    return [job for row in zip_longest(*parts) for job in row if job]

"""Fair turns: some things are done at once, few of them for one person, and whoever used least is next."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

HALF_LIFE_S = 60.0  # after which what a person used counts for half


@dataclass(eq=False)
class SlotTurn:
    """One person's turn, waiting or running."""

    person: str
    granted: asyncio.Future[None]
    began_s: float = 0.0
    slow: bool = False


class FairSlots:
    """`count` slots, at most `each` for one person; `aside` more take what turns out to be slow."""

    def __init__(self, count: int, each: int, aside: int = 0) -> None:
        self.count, self.each, self.aside = count, each, aside
        self._waiting: list[SlotTurn] = []
        self._running: set[SlotTurn] = set()
        self._used: dict[str, tuple[float, float]] = {}  # by person: seconds, as of when

    @asynccontextmanager
    async def turn(self, person: str) -> AsyncIterator[SlotTurn]:
        """Wait for a turn, and have it while the block runs."""
        mine = SlotTurn(person, asyncio.get_running_loop().create_future())
        self._waiting.append(mine)
        self._grant()
        try:
            await mine.granted
            yield mine
        finally:
            self._end(mine)

    def set_aside(self, turn: SlotTurn) -> None:
        """Move a slow turn out of the slots, if there is room beside them, so that others are not delayed."""
        if turn in self._running and not turn.slow and sum(each.slow for each in self._running) < self.aside:
            turn.slow = True
            self._grant()

    def _end(self, turn: SlotTurn) -> None:
        if turn in self._running:
            self._running.remove(turn)
            now_s = time.monotonic()
            self._used[turn.person] = (self._usage(turn.person) + now_s - turn.began_s, now_s)
        else:
            self._waiting.remove(turn)
        self._forget_old()
        self._grant()

    def _grant(self) -> None:
        """Start those whose turn it is."""
        while sum(not each.slow for each in self._running) < self.count:
            having = Counter(each.person for each in self._running)
            able = [each for each in self._waiting if having[each.person] < self.each]
            if not able:
                return
            chosen = min(able, key=lambda each: self._usage(each.person))  # of equals the one who waits longest
            self._waiting.remove(chosen)
            if not chosen.granted.cancelled():
                chosen.began_s = time.monotonic()
                self._running.add(chosen)
                chosen.granted.set_result(None)

    def _usage(self, person: str) -> float:
        used_s, at_s = self._used.get(person, (0.0, 0.0))
        return used_s * float(0.5 ** ((time.monotonic() - at_s) / HALF_LIFE_S))

    def _forget_old(self) -> None:
        self._used = {person: used for person, used in self._used.items() if self._usage(person) > 0.01}

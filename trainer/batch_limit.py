"""How many may share a pass where memory was short: fewer for a while, and then more again."""

import time
from collections.abc import Callable

RETRY_S = 600.0  # after which twice as many are tried again: what took the memory may be gone


class BatchLimit:
    """A limit that falls when a pass was too large, and doubles each `RETRY_S` until it is what it was at first."""

    def __init__(self, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.most, self.clock = most, clock
        self._lowered_to, self._lowered_s = most, 0.0

    @property
    def current(self) -> int:
        """How many may share a pass now."""
        doublings = int((self.clock() - self._lowered_s) / RETRY_S)
        return min(self.most, self._lowered_to << min(doublings, self.most.bit_length()))

    def lower(self, to: int) -> None:
        """Allow no more than so many, but at least one."""
        self._lowered_to, self._lowered_s = max(1, min(self.current, to)), self.clock()

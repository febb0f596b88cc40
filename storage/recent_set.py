"""A set that remembers what was added last, and forgets the rest: what a long-lived process knows stays bounded."""

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

T = TypeVar("T", bound=Hashable)


class RecentSet(Generic[T]):
    """The newest `most` things that were added.

    >>> seen = RecentSet[str](2)
    >>> for each in "abac":
    ...     seen.add(each)
    >>> [each in seen for each in "abc"]
    [True, False, True]
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._newest: OrderedDict[T, None] = OrderedDict()

    def add(self, thing: T) -> None:
        """Remember something, as the newest."""
        self._newest[thing] = None
        self._newest.move_to_end(thing)
        while len(self._newest) > self._most:
            self._newest.popitem(last=False)

    def discard(self, thing: T) -> None:
        """Forget something, if it is known."""
        self._newest.pop(thing, None)

    def __contains__(self, thing: T) -> bool:
        return thing in self._newest

    def __len__(self) -> int:
        return len(self._newest)

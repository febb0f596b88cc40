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
        self._found: OrderedDict[T, None] = OrderedDict()

    def add(self, thing: T) -> None:
        """Remember something, as the newest."""
        self._found[thing] = None
        self._found.move_to_end(thing)
        while len(self._found) > self._most:
            self._found.popitem(last=False)

    def discard(self, thing: T) -> None:
        """Forget something, if it is known."""
        self._found.pop(thing, None)

    def __contains__(self, thing: T) -> bool:
        return thing in self._found

    def __len__(self) -> int:
        return len(self._found)

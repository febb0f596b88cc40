"""A place for the newest of something: whoever is slow misses what was overtaken, and nothing else."""

import asyncio
from typing import Generic, TypeVar

T = TypeVar("T")


class LatestValue(Generic[T]):
    """Holds one value until it is taken."""

    def __init__(self) -> None:
        self._value: T | None = None
        self._there = asyncio.Event()

    def put(self, value: T) -> None:
        """Leave a value in place of the one before."""
        self._value = value
        self._there.set()

    async def take(self) -> T:
        """Wait for a value that was not taken yet, and take it."""
        await self._there.wait()
        self._there.clear()
        assert self._value is not None
        return self._value

"""What the jobs of a kind share in a worker: clients and indexes, opened by the first job that needs them."""

from collections.abc import Callable
from typing import Any, Protocol, TypeVar


class Service(Protocol):
    """Something to be closed when the worker ends."""

    async def close(self) -> None:
        """End its connections and processes."""


S = TypeVar("S", bound=Service)


class Services:
    """The services of one process, one for each opener. `close` them all."""

    def __init__(self) -> None:
        self._open: dict[Callable[..., Any], Service] = {}

    def get(self, opener: Callable[..., S], *arguments: Any) -> S:
        """The service that `opener` makes, opened if it is not yet; raises what the opener raises."""
        if opener not in self._open:
            self._open[opener] = opener(*arguments)
        return self._open[opener]  # type: ignore[return-value]

    async def close(self) -> None:
        """Close those that were opened."""
        for service in self._open.values():
            await service.close()
        self._open.clear()

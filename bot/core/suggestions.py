"""What people may mean while they type: subjects and open jobs of a space, as they were a moment ago.

Chats ask at every keystroke and wait two seconds at most. One look into the store serves all keystrokes of a few
seconds, of everybody in the space. Who may see what is decided by the caller, for each person.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from bot.core.dispatch import Dispatch
from storage.contract.jobs import Job
from storage.contract.subject_repository import Subjects
from storage.contract.subjects import Subject

T = TypeVar("T")
FRESH_S = 3.0
SPACES = 1000  # of which something is kept at most


class Suggestions:
    """Lists for completion, kept for seconds."""

    def __init__(self, subjects: Subjects, dispatch: Dispatch) -> None:
        self._subjects = _SpaceCache(subjects.in_space)
        self._jobs = _SpaceCache(lambda space: dispatch.jobs(space, only_open=True))

    async def in_space(self, space: str) -> Sequence[Subject]:
        """The subjects of a space, newest first."""
        return await self._subjects.get(space)

    async def open_jobs(self, space: str) -> Sequence[Job]:
        """The open jobs of a space, newest first."""
        return await self._jobs.get(space)

    def drop(self, space: str) -> None:
        """Look again at the next question: somebody has changed something here."""
        self._subjects.drop(space)
        self._jobs.drop(space)


class _SpaceCache(Generic[T]):
    """A list for each space, looked up again when it is old; two who ask at once look once."""

    def __init__(self, look: Callable[[str], Awaitable[Sequence[T]]]) -> None:
        self._look = look
        self._cache: dict[str, tuple[float, asyncio.Future[Sequence[T]]]] = {}

    def drop(self, space: str) -> None:
        """Forget what is kept of a space."""
        self._cache.pop(space, None)

    async def get(self, space: str) -> Sequence[T]:
        looked_s, listed = self._cache.get(space, (0.0, None))
        failed = listed and listed.done() and (listed.cancelled() or listed.exception())
        if not listed or failed or time.monotonic() - looked_s > FRESH_S:
            # The future itself is kept, so that keystrokes that come while it looks wait for the same answer.
            listed = asyncio.ensure_future(self._look(space))
            self._cache.pop(space, None)
            self._cache[space] = time.monotonic(), listed
            while len(self._cache) > SPACES:
                del self._cache[next(iter(self._cache))]
        # Shielded: the first to ask may be cancelled by Discord's deadline, and others wait for the same look.
        return await asyncio.shield(listed)

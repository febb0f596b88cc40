"""Limit on photos in flight, by person: being fetched, or waiting to be decoded."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from storage.errors import UserError
from storage.settings.bot import BotSettings

REQUESTS = 2  # as large as they may be, of one person at once


class InFlight:
    """The photos of all people that are in flight; counted by each process for itself, whose memory they take."""

    def __init__(self, settings: BotSettings) -> None:
        self.files_most, self.bytes_most = REQUESTS * settings.photos_max, settings.photos_max_bytes
        self._files: Counter[str] = Counter()
        self._bytes: Counter[str] = Counter()

    @contextmanager
    def share(self, person: str) -> Iterator["InFlightShare"]:
        """What one request of a person takes; given back when the block ends."""
        share = InFlightShare(self, person)
        try:
            yield share
        finally:
            share.give_back()

    def add(self, person: str, files: int, size_bytes: int) -> None:
        """Count photos; raises UserError, with nothing counted, if they are too many now."""
        if size_bytes > self.bytes_most:
            size, most = f"{size_bytes / 2**20:,.3g} MB", f"{self.bytes_most / 2**20:,.3g} MB"
            raise UserError(f"These photos have {size} together; the limit is {most}. Send fewer, or smaller ones.")
        # Files as well as bytes: thousands of tiny files cost decoding time and not memory.
        too_many = self._files[person] + files > self.files_most
        if too_many or self._bytes[person] + size_bytes > self.bytes_most:
            raise UserError("Your previous photos are still being looked at. Send more when that is done.")
        self._files[person] += files
        self._bytes[person] += size_bytes

    def remove(self, person: str, files: int, size_bytes: int) -> None:
        """Count photos no longer."""
        self._files[person] -= files
        self._bytes[person] -= size_bytes
        for counter in (self._files, self._bytes):
            if counter[person] <= 0:
                del counter[person]


class InFlightShare:
    """The photos in flight of one request."""

    def __init__(self, all_of_them: InFlight, person: str) -> None:
        self.person = person
        self._all, self._files, self._bytes = all_of_them, 0, 0

    def take(self, files: int, size_bytes: int) -> None:
        """Count photos before they are fetched, as large as they are said to be; raises UserError."""
        self._all.add(self.person, files, size_bytes)
        self._files += files
        self._bytes += size_bytes

    def give_back(self) -> None:
        """Release everything that this request has in flight."""
        self._all.remove(self.person, self._files, self._bytes)
        self._files = self._bytes = 0

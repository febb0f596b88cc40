"""The four front ends as one person uses them, so that one scenario can be told of all.

`tests/end_to_end/test_four_front_ends.py` tells it. Each says how a command is given there, what is pressed, and what
can then be seen; nothing of what should be seen.
"""

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from bot.photos.uploads import Upload

ADA, BOB = "ada", "bob"
LOOK_EVERY_S = 0.02


@dataclass(frozen=True)
class Shown:
    """A message as somebody sees it at a moment."""

    id: str
    text: str  # everything to read in it, letter by letter as it is read
    labels: tuple[str, ...] = ()  # what can be pressed
    alts: tuple[str, ...] = ()  # what its pictures say to who cannot see them
    rings: tuple[str, ...] = ()  # whom it calls: people, and whatever else was not meant to be


class Front(ABC):
    """A front end in front of people."""

    space: str  # where its subjects and jobs belong
    alone = False  # whether there is only one person, Ada
    asks = True  # whether a training whose photos are in part unusable waits for a word
    graphic = True  # whether there are buttons, and pictures with words for who cannot see them
    learning = r"Learning, \d+ of \d+"  # how it says where a training is

    def __init__(self) -> None:
        self._before: dict[str, Shown] = {}

    async def say(self, command: str, who: str = ADA, photos: Sequence[Upload] = (), **options: Any) -> None:
        """Give a command, called as in `bot.commands.registry`, with options by their outer names."""
        await self._look(who)
        await self._give(command, who, photos, options)

    async def press(self, message: Shown, label: str, who: str = ADA) -> None:
        """Press a button under a message."""
        await self._look(who)
        await self._push(message, label, who)

    async def vary(self, message: Shown, number: int) -> None:
        """Ask for pictures like one of a message."""
        await self._look(ADA)
        await self._vary(message, number)

    async def _look(self, who: str) -> None:
        self._before = {message.id: message for message in await self.screen(who)}

    async def sees(self, *words: str, who: str = ADA, within_s: float = 120) -> Shown:
        """Wait until a message says all these words that did not when the last thing was done; return it."""
        return await self.finds(lambda message: all(word in message.text for word in words), who, within_s, str(words))

    async def finds(
        self, fits: Callable[[Shown], bool], who: str = ADA, within_s: float = 120, what: str = "what was looked for"
    ) -> Shown:
        """The same with a look of the caller's own."""
        end_s = time.monotonic() + within_s
        while True:
            screen = await self.screen(who)
            for message in reversed(screen):
                if fits(message) and message != self._before.get(message.id):
                    return message
            newest = "\n".join(str(message)[-800:] for message in screen[-5:])
            assert time.monotonic() < end_s, f"{who} does not see {what}, but\n{newest}"
            await asyncio.sleep(LOOK_EVERY_S)

    @abstractmethod
    async def _give(self, command: str, who: str, photos: Sequence[Upload], options: dict[str, Any]) -> None:
        """Type a command."""

    @abstractmethod
    async def _push(self, message: Shown, label: str, who: str) -> None:
        """Press a button."""

    @abstractmethod
    async def screen(self, who: str) -> list[Shown]:
        """All that a person sees, oldest first."""

    @abstractmethod
    async def decide(self, question: Shown, sure: bool) -> None:
        """Answer a question about something that cannot be undone."""

    @abstractmethod
    async def full(self, message: Shown, number: int) -> bytes:
        """One of the pictures of a message, as the file that it is."""

    @abstractmethod
    async def _vary(self, message: Shown, number: int) -> None:
        """Ask for pictures like one of a message."""

    @abstractmethod
    async def sheet(self, message: Shown) -> bytes:
        """The picture by which candidates are chosen, as the message shows it."""

    @abstractmethod
    async def choose(self, message: Shown, step: int) -> None:
        """Choose one of the candidates that a message offers, and be sure."""

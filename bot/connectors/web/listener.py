"""The event queue of one open page of the chat."""

import asyncio

from bot.core.chat_log import ChatMessage


class Listener:
    """What one open page has not heard yet: the newest state of each message that changed, None if it is removed."""

    def __init__(self) -> None:
        self._changed: dict[str, ChatMessage | None] = {}
        self._something = asyncio.Event()

    def tell(self, message_id: str, message: ChatMessage | None) -> None:
        """Queue a change; for a slow page only the newest of each message is kept."""
        self._changed[message_id] = message
        self._something.set()

    def wake(self) -> None:
        """End the wait without news."""
        self._something.set()

    async def news(self, wait_s: float) -> dict[str, ChatMessage | None]:
        """Wait for changes and take them; empty after `wait_s` without any."""
        try:
            await asyncio.wait_for(self._something.wait(), wait_s)
        except TimeoutError:
            return {}
        self._something.clear()
        # Swapped without an await in between: a change that comes now is kept for the next round.
        changed, self._changed = self._changed, {}
        return changed

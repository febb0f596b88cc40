"""Several works at once, of which the first that ends decides."""

import asyncio
from collections.abc import Awaitable


async def first_completed(*works: Awaitable[None]) -> None:
    """Return, or raise, with the first that ends; the others are cancelled."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        # The others are awaited: what they hold, a connection say, is closed before the caller goes on.
        await asyncio.gather(*tasks, return_exceptions=True)

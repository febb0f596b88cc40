"""Tasks that go on when whoever asked for them is cancelled."""

import asyncio
from collections.abc import Coroutine
from typing import Any

TASKS: set[asyncio.Task[None]] = set()  # the event loop alone would not keep them


def in_background(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    """Start a task that outlives the cancellation of its caller; `asyncio.shield` waits for it."""
    task = asyncio.create_task(work)
    TASKS.add(task)
    task.add_done_callback(TASKS.discard)
    return task

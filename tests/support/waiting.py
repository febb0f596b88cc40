"""Waiting for what follows after people were told that a job is done."""

import asyncio
from collections.abc import Collection

from storage.objects.store import Store

CEILING_S = 60.0


async def names_become(store: Store, prefix: str, wanted: Collection[str | None]) -> None:
    """Wait until the names of all objects below a prefix are these; raises TimeoutError, which says what they are."""
    names: list[str] = []
    try:
        async with asyncio.timeout(CEILING_S):
            while (names := await store.names(prefix)) != [*wanted]:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
    except TimeoutError as error:
        raise TimeoutError(f"{prefix} has {names}, not {[*wanted]}") from error

"""Child processes that read what strangers send: how one that was killed is waited for."""

from asyncio.subprocess import Process
from contextlib import suppress


async def reap(process: Process) -> None:
    """Wait until a process that was killed is gone, and its pipes are closed."""
    assert process.stdin and process.stdout
    process.stdin.close()
    with suppress(OSError, RuntimeError):  # who reads its answer still comes to the end as well
        await process.stdout.read()
    await process.wait()

"""A worker with leases, a process: `python -m tests.support.leased_process REDIS_URL STORE LEASE_S WORK_S`.

A job of it takes `WORK_S`, and publishes by a conditional put, like any. It says what it does, a line each.
"""

import asyncio
import logging
import sys
from pathlib import Path
from typing import Any

from arq.worker import func

from storage.objects.folder import FolderStore
from storage.queue import broker
from trainer.worker.queue_worker import QueueWorker

log = logging.getLogger("leased")
KIND = "test"  # of jobs


async def main(url: str, store: str, lease_s: float, work_s: float) -> None:
    """Work until killed."""

    async def work(ctx: dict[str, Any]) -> None:
        log.info("started %s", ctx["job_try"])
        try:
            await asyncio.sleep(work_s)
        except asyncio.CancelledError:
            log.info("stopped")
            raise
        won = await FolderStore(Path(store)).put_new(f"done/{ctx['job_id']}", b"")
        log.info("won" if won else "lost")

    functions = [func(work, name="work")]
    await QueueWorker(await broker.connect(url), KIND, functions, lease_s=lease_s, poll_s=0.05).run()


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stdout)
    log.setLevel(logging.INFO)
    logging.getLogger("trainer").setLevel(logging.ERROR)
    asyncio.run(main(sys.argv[1], sys.argv[2], float(sys.argv[3]), float(sys.argv[4])))
